"""One trace serves the shapes and the arrays."""

import jax
import jax.numpy as jnp

from ksim.training.traced_function import TracedFunction
from tests.small_cartpole import small_task


def test_it_is_traced_once():
    traces = []

    def make(count):
        traces.append(count)
        return {"twice": 2 * count, "key_free": jnp.zeros(3, jnp.int32)}

    construction = TracedFunction(make, jnp.float32(0))
    assert construction.shapes["key_free"].shape == (3,)
    assert construction.shapes["twice"].dtype == jnp.float32
    assert construction(jnp.float32(2))["twice"] == 4
    assert construction(jnp.float32(3))["twice"] == 6
    assert len(traces) == 1


def test_the_states_of_a_run_have_the_shapes_that_were_told():
    program = small_task(num_devices=1).build()
    for shapes, state in (
        (program.train_state_shapes, program.initial_train_state(0)),
        (program.environment_shapes, program.new_environments(0)),
    ):
        assert jax.tree.structure(shapes) == jax.tree.structure(state)
        for told, leaf in zip(jax.tree.leaves(shapes), jax.tree.leaves(state), strict=True):
            assert (told.shape, told.dtype) == (leaf.shape, leaf.dtype)
