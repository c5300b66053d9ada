"""Observations: hand-computed values."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim import (
    ActuatorForceObservation,
    BaseAngularVelocityObservation,
    BaseHeightObservation,
    BaseLinearVelocityObservation,
    BaseOrientationObservation,
    CommandObservation,
    FeetContactObservation,
    FeetPositionObservation,
    GaussianNoise,
    GyroObservation,
    JointPositionObservation,
    JointVelocityObservation,
    LastActionObservation,
    PhaseObservation,
    ProjectedGravityObservation,
    SensorObservation,
    UniformNoise,
)
from tests.terms.robot_states import FEET, pose

HALF = math.sqrt(0.5)
YAW_90 = [HALF, 0.0, 0.0, HALF]
PITCH_90 = [HALF, 0.0, HALF, 0.0]


def observe(observation, state):
    values, carry = observation(state, (), jax.random.key(0))
    assert carry == ()
    return values


def test_joints(model, make_state):
    state = make_state(qpos=pose(joints=(0.3, 0.1, 0.2, -0.3, -0.4)), qvel=np.arange(11.0))
    positions = JointPositionObservation.create(model, ["right_knee", "neck"])
    # The neck's own position is 0.1.
    np.testing.assert_allclose(observe(positions, state), [-0.4, 0.2], atol=1e-6)
    relative = JointPositionObservation.create(
        model, ["left_hip", "left_knee"], default_positions="stand"
    )
    np.testing.assert_allclose(observe(relative, state), [0.3, -0.2], atol=1e-6)
    velocities = JointVelocityObservation.create(model, ["right_knee", "neck"])
    np.testing.assert_allclose(observe(velocities, state), [10.0, 6.0])
    assert observe(JointVelocityObservation.create(model), state).tolist() == [6, 7, 8, 9, 10]


def test_base_velocities_are_in_the_frame_of_the_base(model, make_state):
    state = make_state(qpos=pose(YAW_90), qvel=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0] + [0.0] * 5)
    # The base's x axis points along the world's y, its y axis along the world's -x.
    linear = observe(BaseLinearVelocityObservation.create(model), state)
    np.testing.assert_allclose(linear, [2.0, -1.0, 3.0], atol=1e-6)
    # MuJoCo's angular velocity is in the base's frame as it is.
    angular = observe(BaseAngularVelocityObservation.create(model), state)
    np.testing.assert_allclose(angular, [4.0, 5.0, 6.0])
    # The gyro's site is not turned against the base.
    gyro = observe(GyroObservation.create(model, "imu_gyro"), state)
    np.testing.assert_allclose(gyro, angular, atol=1e-6)


def test_base_pose(model, make_state):
    state = make_state(qpos=pose(YAW_90, height=0.7))
    assert observe(BaseHeightObservation.create(model), state) == pytest.approx([0.7])
    orientation = BaseOrientationObservation.create(model)
    np.testing.assert_allclose(observe(orientation, state), YAW_90, atol=1e-6)
    # The same orientation by its other quaternion.
    state = make_state(qpos=pose([-HALF, 0.0, 0.0, -HALF]))
    np.testing.assert_allclose(observe(orientation, state), YAW_90, atol=1e-6)


def test_projected_gravity(model, make_state):
    gravity = ProjectedGravityObservation.create(model)
    np.testing.assert_allclose(observe(gravity, make_state(qpos=pose())), [0, 0, -1], atol=1e-6)
    # Pitched forward by 90 degrees, the base's x axis points down; turning changes nothing.
    lying = make_state(qpos=pose(PITCH_90))
    np.testing.assert_allclose(observe(gravity, lying), [1, 0, 0], atol=1e-6)
    turned = make_state(qpos=pose(YAW_90))
    np.testing.assert_allclose(observe(gravity, turned), [0, 0, -1], atol=1e-6)
    # The left thigh, pitched forward by 0.5 rad: (sin 0.5, 0, -cos 0.5)
    thigh = ProjectedGravityObservation.create(model, "left_thigh")
    state = make_state(qpos=pose(joints=(0.0, 0.5, 0.0, 0.0, 0.0)))
    np.testing.assert_allclose(observe(thigh, state), [math.sin(0.5), 0, -math.cos(0.5)], atol=1e-6)


def test_projected_gravity_on_a_slope(make_model, make_state):
    slope = make_model({"<worldbody>": '<option gravity="6 0 -8"/><worldbody>'})
    gravity = ProjectedGravityObservation.create(slope)
    np.testing.assert_allclose(observe(gravity, make_state(qpos=pose())), [0.6, 0, -0.8], atol=1e-6)
    # The base's x axis points along the world's y.
    turned = make_state(qpos=pose(YAW_90))
    np.testing.assert_allclose(observe(gravity, turned), [0, -0.6, -0.8], atol=1e-6)
    weightless = make_model({"<worldbody>": '<option gravity="0 0 0"/><worldbody>'})
    gravity = ProjectedGravityObservation.create(weightless)
    np.testing.assert_allclose(observe(gravity, make_state(qpos=pose())), [0, 0, -1], atol=1e-6)


def test_sensors_and_actuators(model, make_state):
    state = make_state(qpos=pose(YAW_90), actuator_force=jnp.array([1.0, 2.0, 3.0, 4.0]))
    orientation = SensorObservation.create(model, "imu_orientation")
    np.testing.assert_allclose(observe(orientation, state), YAW_90, atol=1e-6)
    forces = ActuatorForceObservation.create(model, ["right_hip", "left_hip"])
    assert observe(forces, state).tolist() == [3.0, 1.0]
    assert observe(ActuatorForceObservation.create(model), state).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_feet(model, make_state):
    touches = jnp.array([1.0, 0, 0, 0, 0, 0, 0, 0.5, 20.0])
    contact = FeetContactObservation.create(model, FEET)
    assert observe(contact, make_state(sensordata=touches)).tolist() == [0.0, 1.0]
    position = FeetPositionObservation.create(model, FEET)
    # Hips 0.1 to the sides and 0.2 down, straight legs of 0.4 + 0.35; turned with the base.
    expected = [0.0, 0.1, -0.95, 0.0, -0.1, -0.95]
    for quaternion in ([1.0, 0.0, 0.0, 0.0], YAW_90, PITCH_90):
        state = make_state(qpos=pose(quaternion))
        np.testing.assert_allclose(observe(position, state), expected, atol=1e-6)


def test_action_command_and_phase(make_state):
    state = make_state(
        action=[1.0, 2.0, 3.0, 4.0], commands={"linear_velocity": [0.5, 0.1]}, time=1.0
    )
    assert observe(LastActionObservation(), state).tolist() == [1.0, 2.0, 3.0, 4.0]
    command = CommandObservation("linear_velocity")
    np.testing.assert_allclose(observe(command, state), [0.5, 0.1])
    # 1 s is a quarter past the first stride of 0.8 s: 2 pi / 4 gives sine 1, cosine 0.
    np.testing.assert_allclose(observe(PhaseObservation(0.8), state), [1.0, 0.0], atol=1e-5)


def test_noise(make_state):
    keys = jax.random.split(jax.random.key(0), 1000)
    state = make_state(action=[1.0, 2.0, 3.0, 4.0])

    def errors(noise):
        observation = LastActionObservation(noise=noise)
        values = jax.jit(jax.vmap(lambda key: observation(state, (), key)[0]))(keys)
        return np.array(values - state.action[None, :])

    gaussian = errors(GaussianNoise(0.5))
    # Of 1000 draws the mean deviates by about 0.5 / sqrt(1000) = 0.016.
    assert gaussian.mean(axis=0) == pytest.approx([0.0] * 4, abs=0.06)
    assert gaussian.std(axis=0) == pytest.approx([0.5] * 4, abs=0.05)
    assert abs(np.corrcoef(gaussian.T)[0, 1]) < 0.15
    uniform = errors(UniformNoise(0.5))
    assert np.abs(uniform).max() <= 0.5 + 1e-6
    assert uniform.std(axis=0) == pytest.approx([0.5 / math.sqrt(3)] * 4, abs=0.03)


def test_wrong_names(model, make_state):
    with pytest.raises(
        KeyError, match=r"JointVelocityObservation\(joint=.*left_kne.*\).*left_knee"
    ):
        JointVelocityObservation.create(model, ["left_kne"])
    with pytest.raises(KeyError, match=r"ProjectedGravityObservation\(body=.*torsoo.*\).*torso"):
        ProjectedGravityObservation.create(model, "torsoo")
    with pytest.raises(KeyError, match=r"SensorObservation\(sensor=.*imu.*\).*imu_gyro"):
        SensorObservation.create(model, "imu")
    with pytest.raises(KeyError, match=r"ActuatorForceObservation\(actuator=.*neck.*\).*left_hip"):
        ActuatorForceObservation.create(model, ["neck"])
    with pytest.raises(KeyError, match=r"FeetPositionObservation\(site=.*foot.*\).*left_foot"):
        FeetPositionObservation.create(model, ["foot"])
    with pytest.raises(ValueError, match=r"GyroObservation\(sensor=.*left_touch.*\).*mjSENS_TOUCH"):
        GyroObservation.create(model, "left_touch")
    state = make_state(commands={"linear_velocity": [0.0, 0.0]})
    with pytest.raises(
        KeyError, match=r"CommandObservation\(command=.*velocity.*\).*linear_velocity"
    ):
        observe(CommandObservation("velocity"), state)
