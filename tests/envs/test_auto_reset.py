"""The wrapper starts episodes by itself, as ksim's own rollout does."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim import CartPole
from ksim.envs import AutoResetWrapper
from ksim.testing import check_environment

NUM_STEPS = 60


def roll(environment, state, num_steps=NUM_STEPS):
    """Pushes the cart to the right for ever: an episode lasts about 10 steps."""

    def step(state, key):
        state, timestep = environment.step(state, jnp.int32(1), key)
        return state, timestep

    keys = jax.random.split(jax.random.key(1), num_steps)
    return jax.jit(lambda state: jax.lax.scan(step, state, keys))(state)


def test_episodes_follow_each_other_in_a_scan():
    environment = AutoResetWrapper(CartPole())
    state, _ = environment.reset(jax.random.key(0))
    _, timesteps = roll(environment, state)
    is_over = np.asarray(timesteps.is_terminated)
    assert is_over.sum() >= 4
    is_first = np.concatenate([[False], is_over[:-1]])
    # The step after the end is the start of another episode: no reward, near the upright position.
    np.testing.assert_array_equal(timesteps.reward, np.where(is_first, 0.0, 1.0))
    starts = np.asarray(timesteps.observations["state"])[is_first]
    assert np.all(np.abs(starts) <= 0.05)
    assert len(np.unique(starts, axis=0)) == len(starts)
    # The end itself shows the true final observation: a pole that leans more than 12 degrees.
    ends = np.asarray(timesteps.observations["state"])[is_over]
    assert np.all(np.abs(ends[:, 2]) > np.radians(12))
    assert not np.any(is_over & is_first)


def test_without_it_an_episode_goes_on_for_ever():
    environment = CartPole()
    state, _ = environment.reset(jax.random.key(0))
    _, timesteps = roll(environment, state)
    assert np.all(np.asarray(timesteps.is_terminated)[20:])


def test_it_keeps_the_contract_of_environments():
    check_environment(AutoResetWrapper(CartPole()), num_steps=60)


def test_to_wrap_twice_is_to_wrap_once():
    inner = CartPole()
    twice = AutoResetWrapper(AutoResetWrapper(inner))
    assert twice.unwrapped is inner
    assert (twice.action_space, twice.ctrl_dt) == (inner.action_space, inner.ctrl_dt)


@pytest.mark.parametrize("thing", [CartPole, "CartPole-v1"])
def test_only_environments_are_wrapped(thing):
    init = inspect.unwrap(AutoResetWrapper.__init__)  # without the type checker of the tests
    with pytest.raises(TypeError, match=r"needs a ksim\.Environment, found"):
        init(object.__new__(AutoResetWrapper), thing)
