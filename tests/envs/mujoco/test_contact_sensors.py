"""Contact sensors tell the same in both engines: what touches now, also right after a reset."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import ksim
from ksim.envs import hardest
from tests.small_mujoco_task import SmallMujocoConfig

# Two balls of 0.1 m on rails, whose joints are at 0 where they touch the floor. The second one,
# without a motor, starts 1 cm above it and falls for 0.045 s.
BALLS = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="1 1 1"/>
    <body name="foot" pos="0 0 0.1">
      <joint name="foot" type="slide" axis="0 0 1"/>
      <geom name="foot" size="0.1"/>
      <site name="foot"/>
    </body>
    <body name="knee" pos="1 0 0.1">
      <joint name="knee" type="slide" axis="0 0 1"/>
      <geom name="knee" size="0.1"/>
    </body>
  </worldbody>
  <actuator><motor joint="foot" ctrlrange="-1 1"/></actuator>
  <sensor>
    <contact name="foot_floor" geom1="foot" geom2="floor" data="found"/>
    <contact name="knee_floor" geom1="knee" geom2="floor" data="found"/>
  </sensor>
  <keyframe><key name="start" qpos="-0.001 0.01"/></keyframe>
</mujoco>
"""


class BallsTask(ksim.DistributedPPOTask[SmallMujocoConfig]):
    """Balls that may not both touch the floor."""

    def get_mujoco_model(self):
        return mujoco.MjModel.from_xml_string(BALLS)

    def get_observations(self, physics_model):
        return {
            "position": ksim.JointPositionObservation.create(physics_model),
            "feet": ksim.FeetContactObservation.create(physics_model, ("foot",)),
        }

    def get_rewards(self, physics_model):
        return {"knee": ksim.ContactReward.create(physics_model, ("knee_*",), scale=-2.0)}

    def get_terminations(self, physics_model):
        return {"fallen": ksim.ContactTermination.create(physics_model, ("knee_floor",))}


@pytest.mark.parametrize("engine", ["mujoco", "mjx"])
def test_what_touches_now(engine):
    config = SmallMujocoConfig(num_devices=1, engine=engine)
    environment = BallsTask(config).environment
    step = jax.jit(environment.step_or_reset)
    state, key = environment.initial_state(), jax.random.key(0)
    for time in (0.0, 0.02, 0.04, 0.06):
        with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
            state, timestep = step(state, jnp.zeros(1), key, jnp.asarray(time == 0.0), hardest())
        foot, knee = timestep.observations["position"]
        assert timestep.observations["feet"] == (foot < 0)
        assert time > 0.0 or foot < 0
        has_fallen = time > 0.05
        assert (knee < 0) == has_fallen
        assert timestep.is_terminated == timestep.terminations["fallen"] == has_fallen
        np.testing.assert_allclose(timestep.reward, -2.0 * has_fallen)
