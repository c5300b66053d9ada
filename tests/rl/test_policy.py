"""How a model acts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.nn import RunningMoments
from ksim.rl import ActorCriticPolicy, normalize

CARRY = {"calls": jnp.float32(3)}
MOMENTS = RunningMoments(
    count=jnp.float32(10), mean={"x": jnp.float32(1)}, variance={"x": jnp.float32(4 - 1e-4)}
)


@pytest.fixture
def make_policy(make_model):
    def make(normalizer=None, is_deterministic=False):
        return ActorCriticPolicy(
            make_model(value=(2.0, 0.5)), normalizer, jnp.bool_(is_deterministic)
        )

    return make


def observe(x):
    return {"x": jnp.float32(x)}


def test_mode_where_deterministic(make_policy):
    policy = make_policy(is_deterministic=True)
    decision = policy.act(observe(4), CARRY, jax.random.key(0))
    # mean = 0.5 * 4 + 0.1 * 3 = 2.3; value = 2 * 4 + 0.5 * 3 = 9.5.
    assert float(decision.kept["latent"][0]) == pytest.approx(2.3)
    assert float(decision.action[0]) == pytest.approx(2.3)
    assert float(policy.conclude(observe(4), CARRY)["value"]) == pytest.approx(9.5)
    assert float(decision.carry["calls"]) == 4
    # At the mean of a normal distribution of deviation exp(-1): 1 - log(2 pi) / 2.
    assert float(decision.kept["log_prob"]) == pytest.approx(1 - 0.5 * np.log(2 * np.pi))


def test_draw_of_the_key_where_not(make_policy):
    policy, key = make_policy(), jax.random.key(5)
    decision = policy.act(observe(4), CARRY, key)
    expected = policy.evaluate(observe(4), CARRY).distribution.sample(key)
    np.testing.assert_array_equal(decision.kept["latent"], expected)
    other = policy.act(observe(4), CARRY, jax.random.key(6))
    assert float(other.kept["latent"][0]) != float(decision.kept["latent"][0])
    deviation = (float(decision.kept["latent"][0]) - 2.3) / np.exp(-1)
    log_prob = -0.5 * deviation**2 + 1 - 0.5 * np.log(2 * np.pi)
    assert float(decision.kept["log_prob"]) == pytest.approx(log_prob, rel=1e-5)


def test_model_sees_normalized_observations(make_policy):
    output = make_policy(MOMENTS).evaluate(observe(4), CARRY)
    # x = (4 - 1) / 2 = 1.5: mean = 0.5 * 1.5 + 0.3 = 1.05, value = 2 * 1.5 + 1.5 = 4.5.
    assert float(output.distribution.mean[0]) == pytest.approx(1.05)
    assert float(output.value) == pytest.approx(4.5)


def test_normalizer_is_optional():
    observations = {"x": jnp.array([1.0, 5.0]), "y": jnp.ones(3)}
    assert normalize(None, observations) is observations
    normalized = normalize(MOMENTS, observations)
    np.testing.assert_allclose(normalized["x"], [0.0, 2.0], atol=1e-6)
    np.testing.assert_array_equal(normalized["y"], np.ones(3))
