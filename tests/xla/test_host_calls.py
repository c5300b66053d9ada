"""Calls of Python by name from compiled programs."""

import ctypes
import functools
import gc
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.xla import host_calls
from ksim.xla.host_calls import call_by_copies, call_named, named

ONE = {
    "sum": jax.ShapeDtypeStruct((), jnp.float32),
    "deep": {"bits": jax.ShapeDtypeStruct((2,), jnp.uint32)},
}


class Adder:
    """Adds, and remembers the shapes that it was given."""

    def __init__(self):
        self.shapes = []

    def __call__(self, results, arguments):
        self.shapes.append(jax.tree.map(np.shape, arguments))
        results["sum"][...] = arguments["x"].sum(axis=1) * np.where(
            arguments["deep"]["is_on"], 1, -1
        )
        results["deep"]["bits"][...] = arguments["deep"]["bits"] + np.uint32(1)


def arguments(*leading):
    return {
        "x": jnp.broadcast_to(jnp.arange(3.0), (*leading, 3)),
        "none": jnp.zeros((*leading, 0)),
        "deep": {
            "is_on": jnp.zeros(leading, bool),
            "bits": jnp.full((*leading, 2), 0xFFFFFFFF, jnp.uint32),
        },
    }


@pytest.fixture
def adder(request):
    name = request.node.name
    function = named(name, Adder())
    return function, functools.partial(call_named, name, ONE)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_lanes_become_the_leading_axis_of_one_call(adder, leading):
    function, call = adder
    mapped = call
    for _ in leading:
        mapped = jax.vmap(mapped)
    results = jax.jit(mapped)(arguments(*leading))
    np.testing.assert_array_equal(results["sum"], np.full(leading, -3.0))
    np.testing.assert_array_equal(results["deep"]["bits"], np.zeros((*leading, 2)))
    count = int(np.prod(leading))
    assert function.shapes == [
        {"x": (count, 3), "none": (count, 0), "deep": {"is_on": (count,), "bits": (count, 2)}}
    ]


def test_every_device_calls_for_itself(adder):
    function, call = adder
    results = jax.pmap(jax.vmap(call), devices=jax.devices()[:3])(arguments(3, 5))
    np.testing.assert_array_equal(results["sum"], np.full((3, 5), -3.0))
    assert [shapes["x"] for shapes in function.shapes] == [(5, 3)] * 3


def test_an_argument_that_all_lanes_share_is_repeated(adder):
    function, call = adder
    axes = {"x": None, "none": 0, "deep": 0}
    shared = {**arguments(4), "x": jnp.arange(3.0)}
    results = jax.jit(jax.vmap(call, in_axes=(axes,)))(shared)
    np.testing.assert_array_equal(results["sum"], np.full(4, -3.0))
    assert function.shapes[0]["x"] == (4, 3)


def test_an_exception_is_raised_where_the_result_is_awaited():
    def fail(results, arguments):
        raise KeyError("no such joint")

    kept = named("fails", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"(?s)in fail.*KeyError.*no such joint"):
        jax.block_until_ready(jax.jit(functools.partial(call_named, "fails", ONE))(arguments()))
    assert kept is fail


def test_a_name_belongs_to_one_function_for_as_long_as_that_is_held():
    first, second = Adder(), Adder()
    assert named("held", first) is first
    assert named("held", second) is first
    del first
    gc.collect()
    assert named("held", second) is second


def test_a_function_that_is_gone_is_not_called():
    function = named("gone", Adder())
    call = jax.jit(functools.partial(call_named, "gone", ONE))
    call(arguments())
    del function
    gc.collect()
    with pytest.raises(Exception, match=r"engine that is gone\. Keep the engine"):
        jax.block_until_ready(call(arguments()))


MIRRORED = {
    "Extension_Base": host_calls._Extension,
    "InternalExtension": host_calls._Extension,  # as jaxlib 0.12 calls it
    "Api_Version": host_calls._Version,
    "Metadata": host_calls._Metadata,
    "Metadata_Extension": host_calls._MetadataExtension,
    "Error_Create_Args": host_calls._ErrorArguments,
    "Api": host_calls._Api,
    "Buffer": host_calls._Buffer,
    "Args": host_calls._Buffers,
    "Rets": host_calls._Buffers,
    "ByteSpan": host_calls._Text,
    "Attrs": host_calls._Attributes,
    "CallFrame": host_calls._CallFrame,
}


@pytest.fixture(scope="module")
def header():
    path = Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h"
    return re.sub(r"//.*", "", path.read_text())


def size_and_alignment(c_type, structs):
    """Of a type in the header: what is no pointer, number or known structure is an enumeration."""
    if c_type.endswith("*") or c_type in ("size_t", "int64_t"):
        return 8, 8
    kind = structs.get(c_type.removeprefix("XLA_FFI_"))
    return (ctypes.sizeof(kind), ctypes.alignment(kind)) if kind else (4, 4)


@pytest.mark.parametrize("name", MIRRORED)
def test_structures_are_those_of_the_header(header, name):
    """Each field of ours lies where XLA's does, and has its size."""
    found = re.search(rf"struct XLA_FFI_{name} \{{(.*?)\n\}}", header, re.DOTALL)
    if found is None:
        assert name in ("Extension_Base", "InternalExtension")
        return
    body = re.sub(r"_XLA_FFI_API_STRUCT_FIELD\((\w+)\)", r"\1* \1", found[1])
    fields = re.findall(r"(?:const |struct )*(\w+)\s*(\**)\s*(\w+);", body)
    offset, places = 0, []
    for kind, stars, _ in fields:
        size, alignment = size_and_alignment(kind + stars, MIRRORED)
        offset = -(-offset // alignment) * alignment
        places.append((offset, size))
        offset += size
    ours = [getattr(MIRRORED[name], field) for field, *_ in MIRRORED[name]._fields_]
    assert [(field.offset, field.size) for field in ours] == places[: len(ours)]


def test_numbers_are_those_of_the_header(header):
    def value(name):
        return int(re.search(rf"XLA_FFI_{name}\s*=?\s*(\d+)", header)[1])

    assert value("API_MAJOR") == host_calls.API_VERSION[0]
    assert value("API_MINOR") >= host_calls.API_VERSION[1]
    assert value("Extension_Metadata") == host_calls.METADATA_EXTENSION
    assert value("ExecutionStage_EXECUTE") == host_calls.EXECUTE_STAGE
    assert value("Error_Code_INTERNAL") == host_calls.INTERNAL_ERROR


def test_xla_takes_the_version():
    host_calls._is_known_to_xla.cache_clear()
    assert host_calls._is_known_to_xla()


@pytest.fixture
def refused(monkeypatch):
    """An XLA that does not know the version any more."""

    def refuse(*_, **__):
        raise ValueError("FFI handler has an unsupported version")

    monkeypatch.setattr(jax.ffi, "register_ffi_target", refuse)
    host_calls._is_known_to_xla.cache_clear()
    yield
    host_calls._is_known_to_xla.cache_clear()


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_without_the_door_jax_calls_back(adder, leading, plain_ways):
    function, call = adder
    for _ in leading:
        call = jax.vmap(call)
    program = jax.jit(call)
    results = program(arguments(*leading))
    np.testing.assert_array_equal(results["sum"], np.full(leading, -3.0))
    np.testing.assert_array_equal(results["deep"]["bits"], np.zeros((*leading, 2)))
    count = int(np.prod(leading))
    assert function.shapes == [
        {"x": (count, 3), "none": (count, 0), "deep": {"is_on": (count,), "bits": (count, 2)}}
    ]
    assert "ksim_named_function" not in program.lower(arguments(*leading)).as_text()
    (message,) = plain_ways.messages
    assert "unsupported version" in message and "compiled anew at every start" in message


def test_copies_of_an_argument_that_all_lanes_share():
    function = Adder()
    axes = {"x": None, "none": 0, "deep": 0}
    shared = {**arguments(4), "x": jnp.arange(3.0)}
    call = jax.vmap(functools.partial(call_by_copies, function, ONE), in_axes=(axes,))
    np.testing.assert_array_equal(jax.jit(call)(shared)["sum"], np.full(4, -3.0))
    assert function.shapes[0]["x"] == (4, 3)
