"""Terms use a state as the pytree that it is, and the fields that they read are noted."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import ksim
from ksim import NativeEngine
from tests.physics.small_worlds import ARM_AND_CUBE


@dataclasses.dataclass(frozen=True)
class GivenObservation(ksim.Observation):
    read: Callable

    def __call__(self, state, carry, key):
        return self.read(state), carry


def observed(read):
    """What a term observes at the start of an episode, and the fields that are computed for it."""
    model = ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(ARM_AND_CUBE), 0.005, 0.02)
    terms = ksim.MujocoTerms(
        actuators={"torque": ksim.TorqueActuators.create(model)},
        observations={"given": GivenObservation(read)},
        rewards={"alive": ksim.AliveReward()},
        terminations={},
    )
    environment = ksim.MujocoEnvironment(model, NativeEngine(model), terms)
    _, observations = jax.jit(jax.vmap(environment.reset))(jax.random.key(0)[None])
    return np.asarray(observations["given"][0]), set(environment.engine.initial_data().fields)


def height(state):
    return state.physics.xipos[:, 2]


WAYS = {
    "a copy with a field replaced": lambda state: height(
        state.replace(physics=state.physics.replace(qvel=2 * state.physics.qvel))
    ),
    "a condition": lambda state: jax.lax.cond(
        state.time > 1.0, lambda state: -height(state), height, state
    ),
    "a function that is compiled apart": jax.jit(height),
    "a tree map": lambda state: height(jax.tree.map(lambda x: x, state)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_state_in(way):
    values, fields = observed(WAYS[way])
    # The world's origin, the middle of an arm 0.3 m long along x, and the cube.
    np.testing.assert_allclose(values, [0.0, 0.2, 0.1], atol=1e-6)
    assert "xipos" in fields
    assert "xanchor" not in fields


def test_a_field_that_was_replaced_is_read():
    values, _ = observed(lambda state: state.physics.replace(qpos=jnp.full(8, 3.0)).qpos)
    np.testing.assert_array_equal(values, np.full(8, 3.0))
