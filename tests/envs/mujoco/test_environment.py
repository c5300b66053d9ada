"""The environment's own steps: where an episode begins, and what a loop of one's own gets."""

import jax
import mujoco
import numpy as np
import pytest

import ksim
from ksim import NativeEngine
from ksim.envs import AutoResetWrapper

POLE = """
<mujoco>
  <worldbody>
    <body>
      <joint name="hinge" axis="0 1 0"/>
      <geom size="0.1" pos="0 0 0.3" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" ctrlrange="-1 1"/></actuator>
  <keyframe>
    <key name="first" qpos="0.5" qvel="2"/>
    <key name="second" qpos="0.1" qvel="1"/>
  </keyframe>
</mujoco>
"""


def make(**families):
    model = ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(POLE), 0.005, 0.02)
    families = {name: make_terms(model) for name, make_terms in families.items()}
    terms = {
        "actuators": {"torque": ksim.TorqueActuators.create(model)},
        "observations": {
            "position": ksim.JointPositionObservation.create(model),
            "velocity": ksim.JointVelocityObservation.create(model),
        },
        "rewards": {"alive": ksim.AliveReward()},
        "terminations": {},
    } | families
    return ksim.MujocoEnvironment(model, NativeEngine(model), ksim.MujocoTerms(**terms))


@pytest.mark.parametrize(
    ("keyframe", "qpos", "qvel"), [("first", 0.5, 2.0), ("second", 0.1, 1.0), (None, 0.5, 2.0)]
)
def test_an_episode_begins_in_a_keyframe(keyframe, qpos, qvel):
    """In the first, if no reset says otherwise."""

    def resets(model):
        return {} if keyframe is None else {"key": ksim.KeyframeReset.create(model, keyframe)}

    state, _ = jax.jit(jax.vmap(make(resets=resets).reset))(jax.random.key(0)[None])
    np.testing.assert_allclose(state.physics.qpos, [[qpos]], rtol=1e-6)
    np.testing.assert_allclose(state.physics.qvel, [[qvel]], rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda environment: environment, AutoResetWrapper])
def test_a_loop_of_ones_own_is_at_the_highest_level(wrap):
    """As a task without a curriculum: commands that grow with the level are given."""

    def commands(model):
        return {
            "turn": ksim.AngularVelocityCommand.create(
                model, yaw_range=(1.0, 1.0), zero_probability=0.0, is_scaled_by_level=True
            )
        }

    environment = wrap(
        make(
            commands=commands,
            observations=lambda model: {"command": ksim.CommandObservation("turn")},
            terminations=lambda model: {"time_out": ksim.TimeOutTermination(0.02)},
        )
    )
    state, observations = jax.jit(jax.vmap(environment.reset))(jax.random.key(0)[None])
    np.testing.assert_array_equal(observations["command"], [[1.0]])
    step = jax.jit(jax.vmap(environment.step))
    for seed in range(3):  # with the wrapper, the second starts the next episode
        keys = jax.random.key(seed)[None]
        state, timestep = step(state, np.zeros((1, 1), np.float32), keys)
        np.testing.assert_array_equal(timestep.observations["command"], [[1.0]])
