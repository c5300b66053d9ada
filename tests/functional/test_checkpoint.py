"""Checkpoints of any pytree: whole, verified, and for one copy or several."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.config import ConfigError
from ksim.functional import load_checkpoint, save_checkpoint
from ksim.functional.replication import replicate
from tests.small_cartpole import numbers

TEMPLATE = {"kernel": jnp.zeros((3, 4)), "count": jnp.int32(0), "key": jax.random.key(0)}


@pytest.fixture
def state():
    kernel = jax.random.normal(jax.random.key(1), (3, 4))
    return {"kernel": kernel, "count": jnp.int32(7), "key": jax.random.key(2)}


def assert_identical(found, expected):
    found, expected = numbers(found), numbers(expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_what_was_saved_is_loaded(state):
    path = save_checkpoint("checkpoints/", state)
    assert_identical(load_checkpoint("checkpoints/", TEMPLATE), state)
    assert_identical(load_checkpoint(path, TEMPLATE), state)


def test_the_newest_is_loaded(state):
    first = save_checkpoint("checkpoints", TEMPLATE)
    second = save_checkpoint("checkpoints", state)
    assert (first.name, second.name) == ("step_00000000", "step_00000001")
    assert_identical(load_checkpoint("checkpoints", TEMPLATE), state)
    assert save_checkpoint("checkpoints", TEMPLATE, step=40).name == "step_00000040"
    assert save_checkpoint("checkpoints", state).name == "step_00000041"
    # A damaged one is passed over.
    (second.parent / "step_00000041" / "metadata.json").write_text("{}")
    assert_identical(load_checkpoint("checkpoints", TEMPLATE), TEMPLATE)


def test_a_state_in_several_copies(state):
    several = replicate(state, 4)
    save_checkpoint("checkpoints", several, unreplicate=True)
    assert_identical(load_checkpoint("checkpoints", TEMPLATE), state)
    assert_identical(load_checkpoint("checkpoints", TEMPLATE, replicate_to=4), several)


def test_a_single_copy_is_not_cut(state):
    with pytest.raises(ValueError, match=r"leaf count has the shape \(\).*leave unreplicate out"):
        save_checkpoint("checkpoints", state, unreplicate=True)
    with pytest.raises(ValueError, match=r"leaf b has the shape \(2, 3\)"):
        save_checkpoint("new", {"a": jnp.ones(4), "b": jnp.ones((2, 3))}, unreplicate=True)


def test_a_template_that_does_not_fit(state):
    save_checkpoint("checkpoints", state)
    with pytest.raises(
        ValueError, match=r"kernel: expected float32\[3, 5\], found float32\[3, 4\]"
    ):
        load_checkpoint("checkpoints", TEMPLATE | {"kernel": jnp.zeros((3, 5))})


def test_no_checkpoint():
    with pytest.raises(ConfigError, match="No intact checkpoint at nowhere"):
        load_checkpoint("nowhere", TEMPLATE)


def test_steps_are_not_negative(state):
    with pytest.raises(ValueError, match="the first step is 0"):
        save_checkpoint("checkpoints", state, step=-1)
