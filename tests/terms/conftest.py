"""A small biped, and states of it as terms read them."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from flax import struct

from ksim import StepState
from ksim.physics import PhysicsModel

# The hips stand 0.2 m below the torso's origin, the knees 0.4 m below the hips, the foot spheres
# (radius 0.05) 0.35 m below the knees: with straight legs a base at 1 m just touches the floor.
BIPED = """
<mujoco model="biped">
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <geom name="floor" type="plane" size="0 0 1" friction="0.9 0.005 0.0001"/>
    <body name="torso" pos="0 0 1">
      <freejoint name="root"/>
      <geom name="torso" type="box" size="0.1 0.15 0.2" mass="10"/>
      <site name="imu" pos="0 0 0.1"/>
      <body name="head" pos="0 0 0.3">
        <joint name="neck" axis="0 0 1" ref="0.1" damping="0.5" armature="0.02"/>
        <geom name="head" type="sphere" size="0.1" mass="2"/>
      </body>
      <body name="left_thigh" pos="0 0.1 -0.2">
        <joint name="left_hip" axis="0 1 0" range="-1 1" damping="1" armature="0.01"/>
        <geom name="left_thigh" type="capsule" fromto="0 0 0 0 0 -0.4" size="0.04" mass="3"/>
        <body name="left_shank" pos="0 0 -0.4">
          <joint name="left_knee" axis="0 1 0" range="-1.5 0.5" damping="2" armature="0.01"/>
          <geom name="left_foot" type="sphere" pos="0 0 -0.35" size="0.05" mass="1"/>
          <site name="left_foot" pos="0 0 -0.35" size="0.06"/>
        </body>
      </body>
      <body name="right_thigh" pos="0 -0.1 -0.2">
        <joint name="right_hip" axis="0 1 0" range="-1 1" damping="1" armature="0.01"/>
        <geom name="right_thigh" type="capsule" fromto="0 0 0 0 0 -0.4" size="0.04" mass="3"/>
        <body name="right_shank" pos="0 0 -0.4">
          <joint name="right_knee" axis="0 1 0" range="-1.5 0.5" damping="2" armature="0.01"/>
          <geom name="right_foot" type="sphere" pos="0 0 -0.35" size="0.05" mass="1"/>
          <site name="right_foot" pos="0 0 -0.35" size="0.06"/>
        </body>
      </body>
    </body>
  </worldbody>
  <contact>
    <pair geom1="floor" geom2="left_foot" friction="1 1 0.005 0.0001 0.0001"/>
    <pair geom1="floor" geom2="right_foot" friction="0.8 0.8 0.005 0.0001 0.0001"/>
    <pair geom1="left_thigh" geom2="right_thigh" friction="0.4 0.4 0.005 0.0001 0.0001"/>
  </contact>
  <actuator>
    <motor name="left_hip" joint="left_hip" ctrlrange="-80 80"/>
    <motor name="left_knee" joint="left_knee" forcerange="-60 60"/>
    <motor name="right_hip" joint="right_hip" ctrlrange="-80 80"/>
    <motor name="right_knee" joint="right_knee" forcerange="-60 60"/>
  </actuator>
  <sensor>
    <framequat name="imu_orientation" objtype="site" objname="imu"/>
    <gyro name="imu_gyro" site="imu"/>
    <touch name="left_touch" site="left_foot"/>
    <touch name="right_touch" site="right_foot"/>
  </sensor>
  <keyframe>
    <key name="stand" qpos="0 0 0.98  1 0 0 0  0  -0.2 0.4  -0.2 0.4"
         qvel="0 0 0  0 0 0  0  0 0  0 0.5"/>
  </keyframe>
</mujoco>
"""

# Places in `qpos`: base 0-6, neck 7, left hip 8, left knee 9, right hip 10, right knee 11.
# Places in `qvel`: base 0-5, neck 6, left hip 7, left knee 8, right hip 9, right knee 10.
# Places in `sensordata`: orientation 0-3, gyro 4-6, left touch 7, right touch 8.


@struct.dataclass
class Snapshot:
    """The fields of `PhysicsData` and no others."""

    time: jnp.ndarray
    qpos: jnp.ndarray
    qvel: jnp.ndarray
    ctrl: jnp.ndarray
    xpos: jnp.ndarray
    xquat: jnp.ndarray
    xmat: jnp.ndarray
    xipos: jnp.ndarray
    ximat: jnp.ndarray
    geom_xpos: jnp.ndarray
    site_xpos: jnp.ndarray
    site_xmat: jnp.ndarray
    subtree_com: jnp.ndarray
    cvel: jnp.ndarray
    actuator_force: jnp.ndarray
    qfrc_actuator: jnp.ndarray
    sensordata: jnp.ndarray


def compile_biped(replacements=None):
    text = BIPED
    for old, new in (replacements or {}).items():
        assert old in text
        text = text.replace(old, new)
    mj_model = mujoco.MjModel.from_xml_string(text)
    return PhysicsModel.create(mj_model, dt=0.005, ctrl_dt=0.02)


@pytest.fixture(scope="session")
def make_model():
    """Compiles the biped; a dictionary replaces texts of its MJCF."""
    return compile_biped


@pytest.fixture(scope="session")
def model():
    return compile_biped()


@pytest.fixture(scope="session")
def make_physics(model):
    """Computes the physics of a state with native MuJoCo; of the biped, unless another is given."""

    def make(qpos=None, qvel=None, ctrl=None, of=model, **fields):
        data = mujoco.MjData(of.mj_model)
        data.qpos[:] = of.mj_model.qpos0 if qpos is None else qpos
        data.qvel[:] = 0.0 if qvel is None else qvel
        data.ctrl[:] = 0.0 if ctrl is None else ctrl
        mujoco.mj_forward(of.mj_model, data)
        values = {name: getattr(data, name) for name in Snapshot.__dataclass_fields__}
        values = {name: np.asarray(value, np.float32) for name, value in values.items()}
        values["xmat"] = values["xmat"].reshape(-1, 3, 3)
        values["ximat"] = values["ximat"].reshape(-1, 3, 3)
        values["site_xmat"] = values["site_xmat"].reshape(-1, 3, 3)
        return Snapshot(**{name: jnp.array(value) for name, value in (values | fields).items()})

    return make


@pytest.fixture(scope="session")
def make_state(make_physics):
    """Builds what a term reads after a step; further arguments go to the physics."""

    def make(
        action=(0.0,) * 4, previous_action=(0.0,) * 4, commands=None, time=0.0, level=1.0, **physics
    ):
        commands = {} if commands is None else commands
        return StepState(
            physics=make_physics(**physics),
            action=jnp.array(action, jnp.float32),
            previous_action=jnp.array(previous_action, jnp.float32),
            commands={name: jnp.array(value, jnp.float32) for name, value in commands.items()},
            time=jnp.array(time, jnp.float32),
            level=jnp.array(level, jnp.float32),
        )

    return make
