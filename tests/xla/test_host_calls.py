"""Calls of Python by name from compiled programs."""

import functools
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.xla.host_calls import call_named, named

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
