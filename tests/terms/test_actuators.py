"""Actuators: what reaches the joints."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim import ModelActuators, PositionActuators, TorqueActuators

JOINTS = ("left_hip", "left_knee", "right_hip", "right_knee")


def controls(actuators, action, physics):
    values, carry = actuators(jnp.array(action), physics, (), jax.random.key(0))
    assert carry == ()
    return values


def test_position_target_is_default_plus_scaled_action_within_the_joint_range(model, make_physics):
    actuators = PositionActuators.create(
        model,
        kp=50.0,
        kd=2.0,
        action_scale={"*_hip": 0.5, "*": 1.0},
        default_positions="stand",
    )
    assert actuators.joints.names == JOINTS
    assert actuators.ctrl_ids == (0, 1, 2, 3)
    assert actuators.action_size == 4
    # The keyframe has hips at -0.2 and knees at 0.4; the hip's range ends at 1, the knee's at 0.5.
    # -0.2 + 0.5 * 1 = 0.3; 0.4 - 1 * 1 = -0.6; -0.2 + 0.5 * 4 = 1.8 -> 1; 0.4 + 1 * 4 -> 0.5
    np.testing.assert_allclose(
        controls(actuators, [1.0, -1.0, 4.0, 4.0], make_physics()), [0.3, -0.6, 1.0, 0.5], atol=1e-6
    )


def test_position_servo_law_in_the_model(make_model):
    model = make_model()
    actuators = PositionActuators.create(
        model, ["left_knee", "left_hip"], kp={"left_hip": 50.0, "*_knee": 40.0}, kd=2.0
    )
    assert actuators.ctrl_ids == (1, 0)
    actuators.configure(model.mj_model)
    data = mujoco.MjData(model.mj_model)
    data.qpos[8], data.qvel[7] = 0.1, 0.5  # left hip
    data.ctrl[:] = [0.5, -1.6, 70.0, 0.0]
    mujoco.mj_forward(model.mj_model, data)
    # hip: 50 * (0.5 - 0.1) - 2 * 0.5 = 19; knee: 40 * -1.6 = -64, limited to the model's 60;
    # the right hip is still a motor
    np.testing.assert_allclose(data.actuator_force, [19.0, -60.0, 70.0, 0.0])


def test_torque_limits_of_the_model_are_kept_or_replaced(model):
    kept = PositionActuators.create(model, kp=50.0, kd=2.0)
    # Hips are limited by the ctrlrange of plain motors, knees by their forcerange.
    assert kept.torque_ranges == ((-80.0, 80.0), (-60.0, 60.0)) * 2
    limits = {"*_hip": 30.0, "*": 10.0}
    replaced = PositionActuators.create(model, kp=50.0, kd=2.0, torque_limit=limits)
    assert replaced.torque_ranges == ((-30.0, 30.0), (-10.0, 10.0)) * 2


def test_a_joint_limit_of_actuator_forces_narrows_the_torque_range(make_model):
    knee = 'name="left_knee" axis="0 1 0"'
    model = make_model({knee: knee + ' actuatorfrcrange="-20 70"'})
    actuators = PositionActuators.create(model, ["left_knee"], kp=50.0, kd=2.0)
    assert actuators.torque_ranges == ((-20.0, 60.0),)


@pytest.mark.parametrize("gear", [5.0, -5.0])
def test_gains_and_limits_are_those_of_the_joint_whatever_the_gear(gear, make_model):
    motor = '<motor name="left_hip" joint="left_hip" ctrlrange="-80 80"/>'
    model = make_model({motor: motor.replace("-80 80", f'-4 6" gear="{gear}')})
    torques = TorqueActuators.create(model, ["left_hip"])
    # 5 * (-4, 6); with a negative gear the other way round
    assert torques.torque_ranges == (((-20.0, 30.0) if gear > 0 else (-30.0, 20.0)),)
    assert torques.action_scale == (30.0,)
    servo = PositionActuators.create(model, ["left_hip"], kp=50.0, kd=2.0)
    for actuators, ctrl, torque in (
        (torques, 7.0, 7.0),
        (torques, 50.0, torques.torque_ranges[0][1]),
        # 50 * (0.5 - 0.1) - 2 * 0.5 = 19; 50 * (-1.5 - 0.1) - 1 = -81
        (servo, 0.5, 19.0),
        (servo, -1.5, torques.torque_ranges[0][0]),
    ):
        actuators.configure(model.mj_model)
        data = mujoco.MjData(model.mj_model)
        data.qpos[8], data.qvel[7], data.ctrl[0] = 0.1, 0.5, ctrl
        mujoco.mj_forward(model.mj_model, data)
        assert data.qfrc_actuator[7] == pytest.approx(torque)


def test_model_actuators_map_the_action_to_the_ranges_of_the_controls(make_model, make_physics):
    knee = '<motor name="left_knee" joint="left_knee" forcerange="-60 60"/>'
    lagging = '<position name="lag" joint="left_knee" kp="9" timeconst="0.1" ctrlrange="-1 0.5"/>'
    model = make_model({knee: lagging})
    gains = model.mj_model.actuator_gainprm.copy()
    actuators = ModelActuators.create(model, ("lag", "left_hip"))
    assert actuators.ctrl_ids == (1, 0)
    actuators.configure(model.mj_model)
    np.testing.assert_array_equal(model.mj_model.actuator_gainprm, gains)
    # The middle of -1 and 0.5 is -0.25, half the width 0.75.
    for action, expected in (([0, 0], [-0.25, 0]), ([1, -0.5], [0.5, -40]), ([-9, 9], [-1, 80])):
        found = controls(actuators, np.float32(action), make_physics())
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(
        ValueError, match=r'"right_knee"\): its control has no range.*ctrlrange="-1'
    ):
        ModelActuators.create(model)


def test_a_muscle_is_excited_from_0_to_1(make_model):
    knee = '<motor name="left_knee" joint="left_knee" forcerange="-60 60"/>'
    model = make_model({knee: '<muscle name="muscle" joint="left_knee" lengthrange="0.1 1"/>'})
    actuators = ModelActuators.create(model, ("muscle",))
    assert (actuators.lower, actuators.upper) == ((0.0,), (1.0,))


def test_torque_is_the_clipped_action_times_the_limit(model, make_physics):
    actuators = TorqueActuators.create(model)
    np.testing.assert_allclose(
        controls(actuators, [0.5, -0.5, 2.0, -2.0], make_physics()), [40.0, -30.0, 80.0, -60.0]
    )
    scaled = TorqueActuators.create(model, ["right_knee"], action_scale=20.0)
    np.testing.assert_allclose(controls(scaled, [0.5], make_physics()), [10.0])


def test_torque_actuators_make_a_servo_a_plain_motor(make_model):
    motor = '<motor name="left_hip" joint="left_hip" ctrlrange="-80 80"/>'
    servo = '<position name="left_hip" joint="left_hip" kp="30" ctrlrange="-1 1"'
    model = make_model({motor: servo + ' forcerange="-50 50"/>'})
    actuators = TorqueActuators.create(model)
    assert actuators.action_scale == (50.0, 60.0, 80.0, 60.0)
    actuators.configure(model.mj_model)
    data = mujoco.MjData(model.mj_model)
    data.qpos[8] = 0.4
    data.ctrl[:] = [25.0, 0.0, 0.0, 100.0]
    mujoco.mj_forward(model.mj_model, data)
    # The servo's ctrlrange of 1 and its pull towards 0 are gone; the right knee's limit stays.
    np.testing.assert_allclose(data.actuator_force, [25.0, 0.0, 0.0, 60.0])


@pytest.mark.parametrize("family", [PositionActuators, TorqueActuators])
def test_unknown_and_unactuated_joints(family, model):
    gains = {"kp": 1.0, "kd": 0.0} if family is PositionActuators else {}
    with pytest.raises(KeyError, match=f"{family.__name__}.*left_kne.*left_knee"):
        family.create(model, ["left_kne"], **gains)
    with pytest.raises(KeyError, match=r"neck.*no such actuated joint.*left_hip, left_knee"):
        family.create(model, ["neck"], **gains)


def test_unsuitable_actuators(make_model):
    knee = '<motor name="left_knee" joint="left_knee" forcerange="-60 60"/>'
    cases = {
        knee.replace("/>", ' gear="0"/>'): "gear 0",
        knee + '<motor name="again" joint="left_knee"/>': r"2 actuators \(left_knee, again\)",
        knee.replace("<motor", '<general dyntype="filter" dynprm="0.1"'): "activation state",
        knee.replace(' forcerange="-60 60"', ""): "states no torque limit.*torque_limit=100",
    }
    for text, message in cases.items():
        with pytest.raises(ValueError, match=message):
            PositionActuators.create(make_model({knee: text}), kp=1.0, kd=0.0)
    so3 = '<body name="eye" pos="0 0 3"><joint name="eye" type="ball"/><geom size="0.1"/></body>'
    several = make_model(
        {
            '<body name="torso" pos="0 0 1">': so3 + '<body name="torso" pos="0 0 1">',
            knee: '<orientation joint="eye" kp="1"/>' + knee,
        }
    )
    with pytest.raises(ValueError, match=r"more or less than one control.*ModelActuators.create"):
        TorqueActuators.create(several)
    unlimited = make_model({knee: knee.replace(' forcerange="-60 60"', "")})
    with pytest.raises(ValueError, match=r"states no torque limit.*action_scale=100"):
        TorqueActuators.create(unlimited)
    assert TorqueActuators.create(unlimited, action_scale=5.0).action_scale == (5.0,) * 4


def test_a_model_without_actuators(make_model):
    model = make_model()
    text = (
        '<mujoco><worldbody><body><joint name="a"/><geom size="0.1"/></body></worldbody></mujoco>'
    )
    model = type(model).create(mujoco.MjModel.from_xml_string(text), 0.005, 0.02)
    with pytest.raises(ValueError, match="no actuator on a hinge or slide joint"):
        PositionActuators.create(model, kp=1.0, kd=0.0)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"kp": 0.0}, r"PositionActuators\(kp=0.0\): kp must be positive"),
        ({"kd": -1.0}, "kd must not be negative"),
        ({"torque_limit": -1.0}, "torque_limit must be positive"),
        ({"action_scale": 0.0}, "action_scale must be positive"),
    ],
)
def test_numbers_out_of_bounds(numbers, message, model):
    with pytest.raises(ValueError, match=message):
        PositionActuators.create(model, **({"kp": 1.0, "kd": 0.0} | numbers))
