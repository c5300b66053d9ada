"""Rewards: hand-computed values."""

import inspect
import math

import jax
import jax.numpy as jnp
import pytest

from ksim.terms import (
    ActionRateReward,
    AliveReward,
    AngularVelocityTrackingReward,
    AngularVelocityXYReward,
    BaseHeightReward,
    EnergyReward,
    FeetAirTimeReward,
    FeetClearanceReward,
    FeetSlipReward,
    GaitPhaseReward,
    GaitPoseReward,
    JointAccelerationReward,
    JointDeviationReward,
    JointLimitReward,
    LinearVelocityTrackingReward,
    SingleStanceReward,
    StandStillReward,
    TorqueReward,
    UprightReward,
    VerticalVelocityReward,
)

HALF = math.sqrt(0.5)
FEET = ("left_foot", "right_foot")
WALK = {"linear_velocity": [0.5, 0.0]}
STAND = {"linear_velocity": [0.05, 0.05]}  # 0.07 m/s: less than 0.1


def pose(quaternion=(1.0, 0.0, 0.0, 0.0), joints=(0.0,) * 5, height=1.0):
    return [0.0, 0.0, height, *quaternion, *joints]


def touches(left, right):
    return jnp.array([1.0, 0, 0, 0, 0, 0, 0, left, right])


def value_of(reward, state):
    value, carry = reward(state, ())
    assert carry == ()
    return float(value)


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


def test_feet_air_time(model, make_state):
    reward = FeetAirTimeReward.create(model, FEET, min_air_time=0.05, max_air_time=0.1)
    carry, values = reward.init(jax.random.key(0)), []
    # (left, right) contact in steps of 0.02 s: the robot drops onto both feet, then lifts the left
    # one for 4 steps and the right one for 6 steps and, later, for one.
    contacts = (
        [(0, 0)] * 3 + [(1, 1)] + [(0, 1)] * 4 + [(1, 0)] * 6 + [(1, 1), (1, 0), (1, 1), (1, 1)]
    )
    for left, right in contacts:
        state = make_state(sensordata=touches(9.0 * left, 9.0 * right), commands=WALK)
        value, carry = reward(state, carry)
        values.append(float(value))
    # left lands after 0.08 s: 0.08 - 0.05; right after 0.12 s, counted as 0.1: 0.1 - 0.05;
    # right again after 0.02 s: 0.02 - 0.05; the drop pays nothing
    expected = [0.0] * 18
    expected[8], expected[14], expected[16] = 0.03, 0.05, -0.03
    assert values == pytest.approx(expected, abs=1e-6)
    not_stood = reward.init(jax.random.key(0))
    _, carry = reward(make_state(sensordata=touches(0.0, 0.0), commands=WALK), not_stood)
    assert carry.tolist() == not_stood.tolist()  # however long it drops


def test_feet_air_time_pays_only_while_told_to_move(model, make_state):
    landing = {"sensordata": touches(9.0, 9.0)}
    air_time = jnp.array([0.3, 0.0])
    reward = FeetAirTimeReward.create(model, FEET)
    assert reward(make_state(**landing, commands=WALK), air_time)[0] == pytest.approx(0.1)
    assert reward(make_state(**landing, commands=STAND), air_time)[0] == 0.0
    turning = FeetAirTimeReward.create(model, FEET, commands=("linear_velocity", "turn"))
    both = STAND | {"turn": [0.5]}
    assert turning(make_state(**landing, commands=both), air_time)[0] == pytest.approx(0.1)
    always = FeetAirTimeReward.create(model, FEET, commands=())
    assert always(make_state(**landing), air_time)[0] == pytest.approx(0.1)


def test_feet_air_time_limits_in_order(model):
    with pytest.raises(ValueError, match=r"max_air_time \(0.2 s\) must be above min_air_time"):
        FeetAirTimeReward.create(model, FEET, min_air_time=0.3, max_air_time=0.2)


def test_feet_slip(model, make_state):
    reward = FeetSlipReward.create(model, FEET)
    sliding = {"qvel": [0.3, 0.4, 5.0] + [0.0] * 8}
    # Both feet move with the base at 0.5 m/s along the floor: 0.25 for each that stands.
    one = make_state(**sliding, sensordata=touches(0.0, 9.0))
    both = make_state(**sliding, sensordata=touches(9.0, 9.0))
    assert value_of(reward, one) == pytest.approx(0.25, abs=1e-5)
    assert value_of(reward, both) == pytest.approx(0.5, abs=1e-5)
    assert reward.scale < 0.0


def test_feet_clearance(model, make_state):
    reward = FeetClearanceReward.create(model, FEET, height=0.15)
    assert reward.scale < 0.0

    def value(left, right, height=1.0, speed=0.64):
        # The robot glides sideways and falls, which does not count.
        moving = {"qpos": pose(height=height), "qvel": [0.0, speed, -3.0] + [0.0] * 8}
        return value_of(reward, make_state(**moving, sensordata=touches(left, right)))

    # With a base at 1 m the sites of straight legs are at 1 - 0.2 - 0.4 - 0.35 = 0.05 m:
    # |0.05 - 0.15| * 0.64^(1/2) = 0.08 for each foot that swings
    assert value(9.0, 9.0) == 0.0
    assert value(0.0, 9.0) == pytest.approx(0.08, abs=1e-5)
    assert value(0.0, 0.0) == pytest.approx(0.16, abs=1e-5)
    # at 0.15 m, as wanted; at 0.2 m: 0.05 * 0.8; a foot that does not move may be low
    assert value(0.0, 9.0, height=1.1) == pytest.approx(0.0, abs=1e-5)
    assert value(0.0, 9.0, height=1.15) == pytest.approx(0.04, abs=1e-5)
    assert value(0.0, 9.0, speed=0.0) == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(ValueError, match="height must be positive"):
        FeetClearanceReward.create(model, FEET, height=0.0)


def test_single_stance(model, make_state):
    reward = SingleStanceReward.create(model, FEET)

    def value(left, right, commands):
        return value_of(reward, make_state(sensordata=touches(left, right), commands=commands))

    assert value(9.0, 0.0, WALK) == 1.0
    assert value(9.0, 9.0, WALK) == 0.0
    assert value(0.0, 0.0, WALK) == 0.0
    assert value(9.0, 0.0, STAND) == 0.0


def test_gait_phase(model, make_state):
    reward = GaitPhaseReward.create(model, FEET, period=0.8, stance_fraction=0.6)

    def value(left, right, time, commands=WALK):
        state = make_state(sensordata=touches(left, right), time=time, commands=commands)
        return value_of(reward, state)

    # t = 0.16 s: phases 0.2 and 0.7, so the left foot stands and the right one swings.
    assert value(9.0, 0.0, 0.16) == 1.0
    assert value(9.0, 9.0, 0.16) == 0.5
    assert value(0.0, 9.0, 0.16) == 0.0
    # Half a stride later, phases 0.7 and 0.2, and one stride after that again.
    assert value(0.0, 9.0, 0.56) == 1.0
    assert value(0.0, 9.0, 1.36) == 1.0
    # t = 0.02 s: phases 0.025 and 0.525, both stand.
    assert value(9.0, 9.0, 0.02) == 1.0
    # Told to stand, both stand.
    assert value(9.0, 9.0, 0.16, STAND) == 1.0
    assert value(9.0, 0.0, 0.16, STAND) == 0.5


def test_gaits_of_other_phases(model, make_state):
    """Both legs hop together."""
    swings = [{"left_knee": 0.6}, {"right_knee": 0.6}]
    hop = GaitPhaseReward.create(model, FEET, phase_offsets=(0.5, 0.5))
    crouch = GaitPoseReward.create(model, swings, phase_offsets=(0.5, 0.5))

    def value(reward, time, touch, knee):
        qpos = pose(joints=(0.0, 0.0, knee, 0.0, knee))
        state = make_state(qpos=qpos, sensordata=touches(touch, touch), time=time, commands=WALK)
        return value_of(reward, state)

    # t = 0.24 s: the phase of both is 0.8, in the middle of the swing.
    assert value(hop, 0.24, 0.0, 0.6) == 1.0
    assert value(hop, 0.24, 9.0, 0.6) == 0.0
    assert value(crouch, 0.24, 0.0, 0.6) == pytest.approx(1.0)
    # Half a stride later both stand.
    assert value(hop, 0.64, 9.0, 0.0) == 1.0
    assert value(crouch, 0.64, 9.0, 0.0) == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"3 offsets for 2 legs. Give each leg one"):
        GaitPhaseReward.create(model, FEET, phase_offsets=(0.0, 0.5, 0.5))


def test_gait_pose(model, make_state):
    swings = [{"left_hip": 0.4, "left_knee": 0.8}, {"right_knee": 0.6}]
    reward = GaitPoseReward.create(
        model, swings, default_positions="stand", period=0.8, stance_fraction=0.6, sigma=0.5
    )

    def value(time, left_hip, left_knee, right_knee, commands=WALK):
        joints = (0.0, left_hip, left_knee, 9.0, right_knee)  # the right hip does not matter
        state = make_state(qpos=pose(joints=joints), time=time, commands=commands)
        return value_of(reward, state)

    # t = 0.64 s: phases 0.8 and 0.3. The left leg is in the middle of its swing, the right stands.
    assert value(0.64, 0.2, 1.2, 0.4) == pytest.approx(1.0)
    assert value(0.64, -0.2, 0.4, 0.4) == pytest.approx(math.exp(-(0.4**2 + 0.8**2) / 0.25))
    # Half a stride later the right leg swings; a quarter into its swing it is half way.
    assert value(0.24, -0.2, 0.4, 1.0) == pytest.approx(1.0)
    assert value(0.16, -0.2, 0.4, 0.7) == pytest.approx(1.0, abs=1e-5)
    # Told to stand, both stand; so they do when neither swings.
    assert value(0.64, -0.2, 0.4, 0.4, STAND) == pytest.approx(1.0)
    assert value(0.02, -0.2, 0.4, 0.4) == pytest.approx(1.0)


def test_gait_pose_needs_legs_that_swing(model):
    with pytest.raises(ValueError, match="give the joints of each leg"):
        GaitPoseReward.create(model, [])
    with pytest.raises(ValueError, match="no leg would ever swing"):
        GaitPoseReward.create(model, [{"left_knee": 0.6}], stance_fraction=1.0)
    with pytest.raises(KeyError, match="left_knee"):
        GaitPoseReward.create(model, [{"left_kne": 0.6}])


def test_scale_is_an_argument_of_every_constructor(model):
    assert UprightReward.create(model, scale=3.0).scale == 3.0
    assert FeetSlipReward.create(model, FEET, scale=-3.0).scale == -3.0
    assert ActionRateReward(scale=-3.0).scale == -3.0


@pytest.mark.parametrize(
    ("term", "subject"),
    [
        (FeetAirTimeReward, FEET),
        (SingleStanceReward, FEET),
        (GaitPhaseReward, FEET),
        (GaitPoseReward, [{"left_knee": 0.6}]),
    ],
)
def test_a_single_command_comes_in_a_tuple(term, subject, model):
    create = inspect.unwrap(term.create.__func__)  # without the type checker of the tests
    with pytest.raises(TypeError, match=rf'{term.__name__}\(.*Write \("linear_velocity",\)'):
        create(term, model, subject, commands="linear_velocity")
