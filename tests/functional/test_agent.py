"""The agent: how it begins, and how it acts."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim import CartPole
from ksim.functional import PPO, PPOConfig
from ksim.storage.state_leaves import leaf_specs
from tests.functional.test_train import Sum, small_run

SMALL = PPOConfig(hidden_sizes=(16,))


@pytest.fixture(scope="module")
def pole():
    return PPO.init(jax.random.PRNGKey(0), obs_shape=(4,), n_actions=2, config=SMALL)


def test_it_begins_as_the_state_that_training_returns(pole):
    state, _ = small_run(num_devices=1, num_updates=1)
    assert leaf_specs(pole) == leaf_specs(state.agent_state)
    state, _ = small_run(Sum(), num_updates=1)
    adder = PPO.init(jax.random.key(0), env=Sum(), config=SMALL)
    assert leaf_specs(adder) == leaf_specs(state.agent_state)


def test_both_kinds_of_keys_make_the_same_agent(pole):
    again = PPO.init(jax.random.key(0), env=CartPole(), config=SMALL)
    other = PPO.init(jax.random.key(1), env=CartPole(), config=SMALL)
    kernels = [one.params["actor"]["hidden_0"]["kernel"] for one in (pole, again, other)]
    np.testing.assert_array_equal(kernels[1], kernels[0])
    assert np.any(kernels[2] != kernels[0])


def test_it_acts_by_its_likeliest_action_or_draws_one(pole):
    observation = jnp.array([0.1, 0.2, -0.1, 0.3])
    distribution = pole.policy().evaluate({"observation": observation}, ()).distribution
    assert PPO.act(pole, observation) == jnp.argmax(distribution.logits)
    assert PPO.act(pole, {"state": observation}) == PPO.act(pole, observation)
    keys = jax.random.split(jax.random.PRNGKey(0), 64)
    drawn = jax.vmap(lambda key: PPO.act(pole, observation, key))(keys)
    # A new actor chooses nearly evenly: not all of 64 draws are alike.
    assert set(np.asarray(drawn)) == {0, 1}


def test_it_acts_on_all_that_the_environment_shows():
    agent = PPO.init(jax.random.key(0), env=Sum(), config=SMALL)
    _, observations = Sum().reset(jax.random.key(1))
    joined = jnp.array([observations["sum"], *observations["x"]])  # by name
    np.testing.assert_array_equal(PPO.act(agent, observations), PPO.act(agent, joined))
    assert PPO.act(agent, observations).shape == (2,)


def test_an_agent_with_a_memory_acts_by_its_policy():
    agent = PPO.init(jax.random.key(0), (4,), 2, PPOConfig(network="gru", hidden_sizes=(8,)))
    with pytest.raises(ValueError, match="this network has a memory"):
        PPO.act(agent, jnp.zeros(4))
    carry = agent.learner.model.initial_carry()
    decision = agent.policy().act({"observation": jnp.zeros(4)}, carry, jax.random.key(0))
    assert decision.action.shape == ()


@pytest.mark.parametrize("arguments", [{}, {"obs_shape": (4,)}, {"n_actions": 2}])
def test_the_shapes_must_be_said(arguments):
    with pytest.raises(ValueError, match=r"PPO\.init needs the shapes"):
        PPO.init(jax.random.key(0), **arguments)


def test_the_shapes_must_be_those_of_the_environment():
    with pytest.raises(ValueError, match="the observation of CartPole has the shape"):
        PPO.init(jax.random.key(0), obs_shape=(3,), env=ksim.CartPole())


@pytest.mark.parametrize(
    ("rng", "obs_shape", "message"),
    [
        (0, (4,), r"rng must be a key, found 0\. Write jax\.random\.key\(0\)"),
        (jax.random.key(0), 4, r"obs_shape must be .*, found 4\. Write obs_shape=\(4,\)"),
    ],
)
def test_a_number_is_neither_a_key_nor_a_shape(rng, obs_shape, message):
    init = inspect.unwrap(PPO.init)  # without the type checker of the tests
    with pytest.raises(TypeError, match=message):
        init(rng, obs_shape=obs_shape, n_actions=2)


def test_the_options_of_a_task_are_others():
    init = inspect.unwrap(PPO.init)  # without the type checker of the tests
    with pytest.raises(
        TypeError, match=r"config must be a ksim\.vibe_rl\.algorithms\.ppo\.PPOConfig, found"
    ):
        init(jax.random.key(0), env=CartPole(), config=ksim.PPOConfig())
