"""Rewards: hand-computed values."""

import math

import jax
import jax.numpy as jnp
import pytest

from ksim import (
    ActionRateReward,
    AliveReward,
    AngularVelocityTrackingReward,
    AngularVelocityXYReward,
    BaseHeightReward,
    EnergyReward,
    FeetSlipReward,
    JointAccelerationReward,
    JointDeviationReward,
    JointLimitReward,
    LinearVelocityTrackingReward,
    StandStillReward,
    TorqueReward,
    UprightReward,
    VerticalVelocityReward,
)
from tests.terms.robot_states import FEET, STAND, WALK, pose, value_of

HALF = math.sqrt(0.5)


def test_linear_velocity_tracking(model, make_state):
    reward = LinearVelocityTrackingReward.create(model, sigma=0.5)
    assert reward.scale == 1.0
    # Heading along the world's y: 0.8 m/s along it is 0.8 m/s forward; vertical motion is free.
    state = make_state(
        qpos=pose([HALF, 0.0, 0.0, HALF]),
        qvel=[0.0, 0.8, 3.0] + [0.0] * 8,
        commands={"linear_velocity": [0.5, 0.4]},
    )
    # error (0.8 - 0.5, 0 - 0.4): exp(-(0.09 + 0.16) / 0.25) = exp(-1)
    assert value_of(reward, state) == pytest.approx(math.exp(-1.0), abs=1e-5)


def test_linear_velocity_tracking_is_blind_to_tilt(model, make_state):
    # Pitched forward by 60 degrees, still 0.5 m/s along the floor.
    tilted = [math.cos(math.pi / 6), 0.0, math.sin(math.pi / 6), 0.0]
    state = make_state(qpos=pose(tilted), qvel=[0.5] + [0.0] * 10, commands=WALK)
    assert value_of(LinearVelocityTrackingReward.create(model), state) == pytest.approx(1.0)


def test_angular_velocity_tracking(model, make_state):
    reward = AngularVelocityTrackingReward.create(model, sigma=0.5)
    commands = {"angular_velocity": [0.5]}
    state = make_state(qvel=[0.0] * 3 + [7.0, 7.0, 1.0] + [0.0] * 5, commands=commands)
    # error 1.0 - 0.5: exp(-0.25 / 0.25); roll and pitch rates do not count
    assert value_of(reward, state) == pytest.approx(math.exp(-1.0), abs=1e-5)
    # Lying on its nose (pitch 90 degrees), the base's -x axis points up.
    state = make_state(
        qpos=pose([HALF, 0.0, HALF, 0.0]),
        qvel=[0.0] * 3 + [-0.5, 0.0, 7.0] + [0.0] * 5,
        commands=commands,
    )
    assert value_of(reward, state) == pytest.approx(1.0, abs=1e-4)


def test_tracking_needs_its_command(model, make_state):
    reward = LinearVelocityTrackingReward.create(model, command="velocity")
    message = r"LinearVelocityTrackingReward\(command=.*velocity.*\).*linear_velocity"
    with pytest.raises(KeyError, match=message):
        value_of(reward, make_state(commands=WALK))


@pytest.mark.parametrize(
    ("term", "command", "message"),
    [
        (LinearVelocityTrackingReward, [0.5], r"has the shape \[1\], needed is \[2\]"),
        (AngularVelocityTrackingReward, [0.5, 0.0], r"has the shape \[2\], needed is \[1\]"),
    ],
)
def test_tracking_needs_a_command_of_its_size(term, command, message, model, make_state):
    reward = term.create(model, command="turn")
    with pytest.raises(ValueError, match=rf'{term.__name__}\(command="turn"\).*{message}'):
        value_of(reward, make_state(commands={"turn": command}))


def test_alive(make_state):
    assert value_of(AliveReward(), make_state()) == 1.0


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi])
def test_upright(angle, model, make_state):
    roll = [math.cos(angle / 2), math.sin(angle / 2), 0.0, 0.0]
    reward = UprightReward.create(model, sigma=0.3)
    # 2 (1 - cos 0.3) = 0.0893, near 0.3^2 = 0.09
    expected = math.exp(-2 * (1 - math.cos(angle)) / 0.09)
    assert value_of(reward, make_state(qpos=pose(roll))) == pytest.approx(expected, abs=1e-5)


def test_upright_of_a_named_body(model, make_state):
    reward = UprightReward.create(model, "left_thigh", sigma=1.0)
    state = make_state(qpos=pose(joints=(0.0, 0.5, 0.0, 0.0, 0.0)))
    expected = math.exp(-2 * (1 - math.cos(0.5)))
    assert value_of(reward, state) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(KeyError, match=r"UprightReward\(body=.*torsoo.*\).*torso"):
        UprightReward.create(model, "torsoo")


def test_base_height(model, make_state):
    reward = BaseHeightReward.create(model, 0.9, sigma=0.1)
    assert value_of(reward, make_state(qpos=pose(height=1.0))) == pytest.approx(
        math.exp(-1.0), abs=1e-5
    )


def test_base_motion(model, make_state):
    state = make_state(qvel=[9.0, 9.0, -2.0, 3.0, 4.0, 9.0] + [0.0] * 5)
    vertical, angular = VerticalVelocityReward.create(model), AngularVelocityXYReward.create(model)
    assert value_of(vertical, state) == pytest.approx(4.0)
    assert value_of(angular, state) == pytest.approx(25.0)  # 9 + 16
    assert vertical.scale < 0.0
    assert angular.scale < 0.0


def test_joint_deviation(model, make_state):
    reward = JointDeviationReward.create(
        model, ["left_hip", "left_knee"], default_positions="stand"
    )
    state = make_state(qpos=pose(joints=(9.0, 0.1, 0.2, 9.0, 9.0)))
    # |0.1 + 0.2| + |0.2 - 0.4|
    assert value_of(reward, state) == pytest.approx(0.5, abs=1e-5)
    assert reward.scale < 0.0


def test_stand_still(model, make_state):
    legs = ["left_hip", "left_knee"]
    reward = StandStillReward.create(model, legs, default_positions="stand")
    assert reward.scale < 0.0

    def value(reward, commands):
        qpos = pose(joints=(9.0, 0.1, 0.2, 9.0, 9.0))
        return value_of(reward, make_state(qpos=qpos, commands=commands))

    # |0.1 + 0.2| + |0.2 - 0.4| while told to stand
    assert value(reward, STAND) == pytest.approx(0.5, abs=1e-5)
    assert value(reward, WALK) == 0.0
    # Turning on the spot is no standing, to a term that knows of it.
    turning = StandStillReward.create(
        model, legs, default_positions="stand", commands=("linear_velocity", "turn")
    )
    assert value(turning, STAND | {"turn": [0.5]}) == 0.0
    assert value(turning, STAND | {"turn": [0.0]}) == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(ValueError, match="never told to stand"):
        StandStillReward.create(model, commands=())


def test_joint_limit(model, make_state):
    reward = JointLimitReward.create(model, soft_fraction=0.9)
    # Hips [-1, 1] -> [-0.9, 0.9]; knees [-1.5, 0.5], width 2 -> [-1.4, 0.4]; the neck has none.
    state = make_state(qpos=pose(joints=(99.0, 0.95, 0.4, -0.85, -1.6)))
    # 0.95 - 0.9 = 0.05; at the limit; inside; -1.4 + 1.6 = 0.2
    assert value_of(reward, state) == pytest.approx(0.25, abs=1e-5)
    assert reward.scale < 0.0


def test_joint_acceleration(model, make_state):
    reward = JointAccelerationReward.create(model, ["left_hip", "left_knee"])
    assert reward.scale < 0.0

    def state(left_hip, left_knee):
        return make_state(qvel=[9.0 * left_hip] * 7 + [left_hip, left_knee, 9.0, 9.0])

    # An episode may begin in motion: there is nothing to compare its first velocities with.
    value, carry = reward(state(3.0, -2.0), reward.init(jax.random.key(0)))
    assert value == 0.0
    # 0.1 rad/s in 0.02 s are 5 rad/s^2, -0.06 rad/s are -3 rad/s^2: 25 + 9
    value, carry = reward(state(3.1, -2.06), carry)
    assert value == pytest.approx(34.0, rel=1e-4)
    value, carry = reward(state(3.1, -2.06), carry)
    assert value == 0.0
    # The next episode begins with a memory of its own.
    value, _ = reward(state(-5.0, 5.0), reward.init(jax.random.key(1)))
    assert value == 0.0


def test_effort(model, make_state):
    state = make_state(
        action=[1.0, 2.0, 0.0, 0.0],
        previous_action=[0.0, 0.0, 0.0, 3.0],
        qvel=[5.0] * 6 + [5.0, 1.0, -2.0, 0.5, 0.0],
        qfrc_actuator=jnp.array([9.0] * 6 + [0.0, 3.0, 4.0, -2.0, 5.0]),
    )
    assert value_of(ActionRateReward(), state) == pytest.approx(14.0)  # 1 + 4 + 9
    # 0 + 9 + 16 + 4 + 25; the base's six entries do not count
    assert value_of(TorqueReward.create(model), state) == pytest.approx(54.0)
    # |3 * 1| + |4 * -2| + |-2 * 0.5| + 0
    assert value_of(EnergyReward.create(model), state) == pytest.approx(12.0)
    knees = EnergyReward.create(model, ["left_knee"])
    assert value_of(knees, state) == pytest.approx(8.0)
    scales = [ActionRateReward().scale, TorqueReward.create(model).scale, knees.scale]
    assert max(scales) < 0.0


def test_scale_is_an_argument_of_every_constructor(model):
    assert UprightReward.create(model, scale=3.0).scale == 3.0
    assert FeetSlipReward.create(model, FEET, scale=-3.0).scale == -3.0
    assert ActionRateReward(scale=-3.0).scale == -3.0
