"""Wrappers hand on what the environment within is like."""

import jax
import numpy as np
import pytest

from ksim import CartPole
from ksim.envs import AutoResetWrapper
from ksim.functional.joined_observations import JoinedObservations
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

WRAPPERS = {
    "auto_reset": AutoResetWrapper,
    "joined": JoinedObservations,
    "both": lambda environment: JoinedObservations(AutoResetWrapper(environment)),
}


@pytest.fixture(scope="module")
def robot():
    return SmallMujocoTask(SmallMujocoConfig(num_devices=1, engine="mujoco")).environment


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_robot_within_is_seen_from_outside(wrap, robot):
    wrapped = wrap(robot)
    assert wrapped.unwrapped is robot.unwrapped is robot
    assert wrapped.physics_model is robot.physics_model is robot.model
    assert wrapped.compiler_options == robot.compiler_options
    assert wrapped.action_space == robot.action_space
    assert wrapped.ctrl_dt == robot.ctrl_dt
    state, _ = wrapped.reset(jax.random.key(0))
    drawn = wrapped.randomized_physics(state)
    # MassRandomizer multiplies the mass of the pole by a factor of this episode.
    mass = robot.model.mj_model.body_mass
    assert drawn["body_mass"].shape == mass.shape
    assert not np.allclose(drawn["body_mass"], mass)


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_world_without_physics(wrap):
    inner = CartPole()
    wrapped = wrap(inner)
    assert wrapped.unwrapped is inner.unwrapped is inner
    assert wrapped.physics_model is None
    assert wrapped.randomized_physics(wrapped.initial_state()) == ()
