"""Terms of the base, of another body instead: a robot on a plane has no floating base."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import ksim
from ksim import NativeEngine
from ksim.physics import FreeJoint, MovingBody, moving_frame

# As hoppers and half-cheetahs are: two slides and a hinge carry the torso.
HOPPER = """
<mujoco>
  <worldbody>
    <geom type="plane" size="5 5 0.1"/>
    <body name="torso" pos="0 0 1">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="z" type="slide" axis="0 0 1"/>
      <joint name="pitch" axis="0 1 0"/>
      <geom type="capsule" fromto="0 0 -0.2 0 0 0.2" size="0.05"/>
      <body name="leg" pos="0 0 -0.3">
        <joint name="hip" axis="0 1 0"/>
        <geom type="capsule" fromto="0 0 0 0.1 0 -0.4" size="0.04"/>
        <site name="foot" pos="0.1 0 -0.4" size="0.05"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="hip" gear="20" ctrlrange="-1 1"/></actuator>
</mujoco>
"""

TERMS_OF_A_BODY = (
    ksim.BaseHeightObservation,
    ksim.BaseOrientationObservation,
    ksim.BaseLinearVelocityObservation,
    ksim.BaseAngularVelocityObservation,
    ksim.LinearVelocityTrackingReward,
    ksim.AngularVelocityTrackingReward,
    ksim.VerticalVelocityReward,
    ksim.AngularVelocityXYReward,
)


@pytest.fixture(scope="module")
def hopper():
    return ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(HOPPER), 0.005, 0.02)


def observe(observation, state):
    value, _ = observation(state, (), jax.random.key(0))
    return np.asarray(value)


@pytest.fixture
def tumbling(model, make_state):
    """A state in which everything moves, and MuJoCo's own data of it."""
    rng = np.random.default_rng(0)
    data = mujoco.MjData(model.mj_model)
    mujoco.mj_integratePos(model.mj_model, data.qpos, rng.normal(0, 1, model.mj_model.nv), 1.0)
    data.qvel[:] = rng.normal(0, 2, model.mj_model.nv)
    mujoco.mj_forward(model.mj_model, data)
    return make_state(qpos=data.qpos, qvel=data.qvel), data


@pytest.mark.parametrize("body", ["left_shank", "head", "torso"])
def test_a_body_is_observed_as_mujoco_says_it_moves(model, tumbling, body):
    state, data = tumbling
    body_id = model.mj_model.body(body).id
    local = np.zeros(6)  # angular, then linear
    is_local = 1
    kind = mujoco.mjtObj.mjOBJ_XBODY
    mujoco.mj_objectVelocity(model.mj_model, data, kind, body_id, local, is_local)
    linear = observe(ksim.BaseLinearVelocityObservation.create(model, body), state)
    np.testing.assert_allclose(linear, local[3:], atol=1e-5)
    angular = observe(ksim.BaseAngularVelocityObservation.create(model, body), state)
    np.testing.assert_allclose(angular, local[:3], atol=1e-5)
    height = observe(ksim.BaseHeightObservation.create(model, body), state)
    np.testing.assert_allclose(height, data.xpos[body_id][2:], atol=1e-6)
    quaternion = observe(ksim.BaseOrientationObservation.create(model, body), state)
    np.testing.assert_allclose(
        quaternion, data.xquat[body_id] * np.sign(data.xquat[body_id][0]), atol=1e-6
    )


def test_a_body_that_floats_is_read_by_its_free_joint(model):
    floating = moving_frame(model.mj_model, model.mj_model.body("torso").id)
    assert floating == model.joints.base and isinstance(floating, FreeJoint)
    assert isinstance(moving_frame(model.mj_model, model.mj_model.body("head").id), MovingBody)


def test_feet_relative_to_another_body(model, tumbling):
    state, data = tumbling
    observation = ksim.FeetPositionObservation.create(model, ("left_foot",), body="head")
    head = data.body("head")
    expected = head.xmat.reshape(3, 3).T @ (data.site("left_foot").xpos - head.xpos)
    np.testing.assert_allclose(observe(observation, state), expected, atol=1e-5)


def test_a_robot_on_a_plane_is_paid_for_walking(hopper):
    """At 0.8 m/s, pitched and pitching: neither counts along the floor."""
    terms = ksim.MujocoTerms(
        actuators={"motors": ksim.ModelActuators.create(hopper)},
        observations={"velocity": ksim.BaseLinearVelocityObservation.create(hopper, "torso")},
        rewards={
            "forward": ksim.LinearVelocityTrackingReward.create(hopper, "torso", sigma=0.5),
            "bouncing": ksim.VerticalVelocityReward.create(hopper, "torso", scale=-1.0),
            "pitching": ksim.AngularVelocityXYReward.create(hopper, "torso", scale=-1.0),
        },
        terminations={"time_out": ksim.TimeOutTermination(seconds=1.0)},
        commands={
            "linear_velocity": ksim.LinearVelocityCommand.create(
                hopper, x_range=(0.3, 0.3), y_range=(0.0, 0.0), zero_probability=0.0
            )
        },
    )
    environment = ksim.MujocoEnvironment(hopper, NativeEngine(hopper), terms)
    state, _ = jax.jit(environment.reset)(jax.random.key(0))
    qvel = jnp.array([0.8, 0.1, 0.5, 0.0])
    state = state.replace(physics=state.physics.replace(qvel=qvel))
    state, timestep = jax.jit(environment.step)(state, jnp.zeros(1), jax.random.key(1))
    vx, vz, pitch_rate, _ = state.physics.qvel
    metrics = timestep.metrics
    np.testing.assert_allclose(
        metrics["reward/forward"], np.exp(-((vx - 0.3) ** 2) / 0.25), rtol=1e-5
    )
    np.testing.assert_allclose(metrics["reward/bouncing"], -(vz**2), rtol=1e-4)
    np.testing.assert_allclose(metrics["reward/pitching"], -(pitch_rate**2), rtol=1e-4)


@pytest.mark.parametrize("term", TERMS_OF_A_BODY, ids=lambda term: term.__name__)
def test_without_a_floating_base_a_body_must_be_named(term, hopper, model):
    with pytest.raises(ValueError, match=f'{term.__name__} needs.*or write body="torso"'):
        term.create(hopper)
    with pytest.raises(KeyError, match=rf'{term.__name__}\(body="torzo"\).*"torso"'):
        term.create(hopper, "torzo")
    assert term.create(hopper, "leg").base.body_id == 2
    assert term.create(model).base == model.joints.base
