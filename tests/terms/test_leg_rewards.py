"""Rewards of feet and gaits: hand-computed values."""

import inspect
import math

import jax
import jax.numpy as jnp
import pytest

from ksim import (
    FeetAirTimeReward,
    FeetClearanceReward,
    FeetSlipReward,
    GaitPhaseReward,
    GaitPoseReward,
    SingleStanceReward,
)
from tests.terms.robot_states import FEET, STAND, WALK, pose, touches, value_of


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
