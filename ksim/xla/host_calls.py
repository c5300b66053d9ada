"""Calls Python from programs compiled for a CPU by name, without copying buffers.

A callback of JAX's belongs to the process that traced it, so no program with one is kept in the
compilation cache, and its arrays are copied. XLA's foreign function interface knows a function by
its name. It is a C interface, which `ctypes` speaks: the structures below are those of
`xla/ffi/api/c_api.h`, version 0.3, as jaxlib 0.9.2 has them and jaxlib 0.12.0 (version 0.5) takes
them. They tell XLA so, and should it refuse them, JAX's callback is the plain way.
"""

import ctypes
import functools
import json
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from ctypes import POINTER, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import jax
import numpy as np

from ksim.xla.fallback import warn_of_plain_way

TARGET = "ksim_named_function"
API_VERSION = (0, 3)
METADATA_EXTENSION = 1
EXECUTE_STAGE = 3
INTERNAL_ERROR = 13

Arrays = Mapping[str, Any]
"""Arrays by name, in any number of levels."""


NamedFunction = Callable[[Arrays, Arrays], None]
"""Writes results, given arguments; the leading axis of every array counts the calls."""

FunctionT = TypeVar("FunctionT", bound=NamedFunction)

_functions: WeakValueDictionary[str, Any] = WeakValueDictionary()


def named(name: str, function: FunctionT) -> FunctionT:
    """Registers a function, for as long as somebody holds the result.

    Args:
      name: name of the function. Functions of one name must give the same results, even in other
        processes: a program may outlive the process that compiled it.
      function: the function.

    Returns:
      The function of this name: this one, or an earlier one that is still held.
    """
    return _functions.setdefault(name, function)


def call_named(name: str, results: Arrays, arguments: Arrays) -> Any:
    """Calls a named function from a program that is compiled for a CPU.

    With `jax.vmap` the calls of all lanes become one.

    Args:
      name: name of a function that is registered (`named`) whenever the program runs.
      results: shapes and types of the results of one call, at least one.
      arguments: arguments of one call.

    Returns:
      The results.
    """
    if not _is_known_to_xla():
        return call_by_copies(_function(name), results, arguments)
    signature = json.dumps([name, _described(results), _described(arguments)])
    types, structure = jax.tree.flatten(results)
    call = jax.ffi.ffi_call(TARGET, types, vmap_method="broadcast_all")
    return jax.tree.unflatten(structure, call(*jax.tree.leaves(arguments), signature=signature))


def call_by_copies(function: NamedFunction, results: Arrays, arguments: Arrays) -> Any:
    """Calls a function of the host from a program for any device, by JAX's own callback.

    Arguments and results are those of `call_named`, with `jax.vmap` too, but are copied between the
    device and the host.
    """
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), results)
    first_argument, *_ = jax.tree.leaves(arguments)
    num_axes = first_argument.ndim

    def call(arguments: Any) -> Any:
        arguments = jax.tree.map(np.asarray, arguments)
        first, *_ = jax.tree.leaves(arguments)
        leading = first.shape[: first.ndim - num_axes]
        results = jax.tree.map(lambda x: np.empty((*leading, *x.shape), x.dtype), one)

        def rows(x: np.ndarray) -> np.ndarray:
            return x.reshape(math.prod(leading), *x.shape[len(leading) :])

        function(*jax.tree.map(rows, (results, arguments)))
        return results

    return jax.pure_callback(call, one, arguments, vmap_method="broadcast_all")


@functools.cache
def _is_known_to_xla() -> bool:
    """Registers the handler of calls with XLA; returns whether it took it, and warns if not."""
    try:
        jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(_handle), platform="cpu")
    except Exception as error:  # whatever an XLA that has changed says to it
        warn_of_plain_way(
            f"XLA's foreign function interface of version {API_VERSION} ({error})",
            "native physics are called by way of JAX's callbacks: the same results, with copies,"
            " and rollouts are compiled anew at every start",
        )
        return False
    return True


def _function(name: str) -> Any:
    """Returns the function of this name."""
    function = _functions.get(name)
    if function is None:
        raise RuntimeError(
            "This program calls a physics engine that is gone. Keep the engine, or the environment"
            " that has it, for as long as you run what was compiled from it."
        )
    return function


def _described(arrays: Arrays) -> Any:
    return jax.tree.map(lambda array: f"{array.dtype}{list(array.shape)}", arrays)


class _Extension(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("type", c_int), ("next", c_void_p)]


class _Version(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("extension", c_void_p), ("major", c_int), ("minor", c_int)]


class _Metadata(ctypes.Structure):
    _fields_ = [("size", c_size_t), ("version", _Version), ("traits", c_uint32)]


class _MetadataExtension(ctypes.Structure):
    _fields_ = [("base", _Extension), ("metadata", POINTER(_Metadata))]


class _ErrorArguments(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("extension", c_void_p),
        ("message", c_char_p),
        ("code", c_int),
    ]


class _Api(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("extension", c_void_p),
        ("version", _Version),
        ("internal", c_void_p),
        ("create_error", ctypes.CFUNCTYPE(c_void_p, POINTER(_ErrorArguments))),
    ]


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("extension", c_void_p),
        ("type", c_int),
        ("data", c_void_p),
        ("rank", c_int64),
        ("dimensions", POINTER(c_int64)),
    ]


class _Buffers(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("extension", c_void_p),
        ("count", c_int64),
        ("types", c_void_p),
        ("items", POINTER(POINTER(_Buffer))),
    ]


class _Text(ctypes.Structure):
    _fields_ = [("start", c_void_p), ("length", c_size_t)]


class _Attributes(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("extension", c_void_p),
        ("count", c_int64),
        ("types", c_void_p),
        ("names", c_void_p),
        ("items", POINTER(POINTER(_Text))),
    ]


class _CallFrame(ctypes.Structure):
    _fields_ = [
        ("size", c_size_t),
        ("extension", POINTER(_Extension)),
        ("api", POINTER(_Api)),
        ("context", c_void_p),
        ("stage", c_int),
        ("arguments", _Buffers),
        ("results", _Buffers),
        ("attributes", _Attributes),
    ]


@ctypes.CFUNCTYPE(c_void_p, POINTER(_CallFrame))
def _handle(frame_pointer: Any) -> int | None:
    """Answers a call of XLA's: returns null, or an error of XLA's."""
    frame = frame_pointer.contents
    try:
        if frame.extension and frame.extension.contents.type == METADATA_EXTENSION:
            extension = ctypes.cast(frame.extension, POINTER(_MetadataExtension))
            version = extension.contents.metadata.contents.version
            version.major, version.minor = API_VERSION
        elif frame.stage == EXECUTE_STAGE:
            _execute(frame)
    except BaseException:  # into a program nothing can be raised
        message = traceback.format_exc().encode()
        error = _ErrorArguments(
            size=ctypes.sizeof(_ErrorArguments), message=message, code=INTERNAL_ERROR
        )
        return frame.api.contents.create_error(error)
    return None


def _execute(frame: _CallFrame) -> None:
    text = frame.attributes.items[0].contents
    signature = ctypes.string_at(text.start, text.length)
    first = frame.results.items[0].contents
    dimensions = tuple(first.dimensions[: first.rank])
    addresses = (*_addresses(frame.results), *_addresses(frame.arguments))
    name, results, arguments = _read_call(signature, dimensions, addresses)
    _function(name)(results, arguments)


def _addresses(buffers: _Buffers) -> list[int]:
    """Returns where each buffer's data lies; 0 for one without."""
    places = ctypes.cast(buffers.items, POINTER(c_void_p))[: buffers.count]
    data = _Buffer.data.offset
    return [c_void_p.from_address(place + data).value or 0 for place in places]


@functools.lru_cache(maxsize=1024)
def _read_call(
    signature: bytes, dimensions: tuple[int, ...], addresses: tuple[int, ...]
) -> tuple[str, Arrays, Arrays]:
    """Returns the name, the results and the arguments of a call: arrays `[num_calls, ...]`.

    A loop calls with the same buffers again and again. Only their addresses are cached: the data
    is read when a call has it there.

    Args:
      signature: JSON written by `call_named`.
      dimensions: dimensions of the first result: those of the calls, then its own.
      addresses: addresses of the data of all results, then of all arguments.
    """
    name, results, arguments = _read_signature(signature)
    num_calls = math.prod(dimensions[: len(dimensions) - len(results[0][0][1])])
    places = iter(addresses)
    return name, _arrays(places, num_calls, *results), _arrays(places, num_calls, *arguments)


@functools.lru_cache
def _read_signature(signature: bytes) -> tuple[str, Any, Any]:
    """Returns the name, and types and structure of results and of arguments."""

    def read(description: str) -> tuple[np.dtype, tuple[int, ...]]:
        dtype, _, shape = description.partition("[")
        return np.dtype(dtype), tuple(json.loads("[" + shape))

    name, *both = json.loads(signature)
    trees = [jax.tree.flatten(descriptions) for descriptions in both]
    results, arguments = (([read(leaf) for leaf in leaves], tree) for leaves, tree in trees)
    return name, results, arguments


def _arrays(
    addresses: Iterator[int],
    num_calls: int,
    types: list[tuple[np.dtype, tuple[int, ...]]],
    structure: Any,
) -> Arrays:
    """Returns arrays `[num_calls, ...]` at the addresses."""
    arrays = []
    for dtype, shape in types:
        num_bytes = num_calls * math.prod(shape) * dtype.itemsize
        memory: Any = (c_char * num_bytes).from_address(next(addresses))
        arrays.append(np.ndarray((num_calls, *shape), dtype, memory))
    return jax.tree.unflatten(structure, arrays)
