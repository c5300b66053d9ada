"""All that an environment shows, as one array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim import CartPole
from ksim.envs import ContinuousActions, Environment, Timestep
from ksim.functional.joined_observations import JoinedObservations
from ksim.testing import check_environment


class Several(Environment):
    """Shows three things of different shapes, not in the order of their names."""

    action_space = ContinuousActions(1)

    def reset(self, key):
        x = jax.random.normal(key)
        return x, self.show(x)

    def step(self, state, action, key):
        x = state + 0.1 * jnp.tanh(action[0])
        return x, Timestep(self.show(x), x, jnp.abs(x) > 2, jnp.bool_(False))

    def show(self, x):
        return {"z": x, "b": x + jnp.arange(4.0).reshape(2, 2), "a": x[None] - 1}


@pytest.mark.parametrize("environment", [CartPole(), Several()])
def test_it_keeps_the_contract_of_environments(environment):
    check_environment(JoinedObservations(environment), num_steps=60)


def test_several_observations_are_one_vector_in_the_order_of_their_names():
    environment = JoinedObservations(Several())
    assert environment.observation_shapes() == {"observation": (6,)}
    x, observations = environment.reset(jax.random.key(0))
    # a = x - 1; b = x + (0 1 2 3); z = x
    expected = float(x) + np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 0.0])
    np.testing.assert_allclose(observations["observation"], expected, rtol=1e-6)
    _, timestep = environment.step(x, jnp.zeros(1), jax.random.key(1))
    np.testing.assert_allclose(timestep.observations["observation"], expected, rtol=1e-6)


def test_a_single_observation_keeps_its_shape():
    class Picture(Several):
        def show(self, x):
            return {"picture": jnp.full((2, 3), x)}

    assert JoinedObservations(Picture()).observation_shape == (2, 3)
    assert JoinedObservations(CartPole()).observation_shape == (4,)
