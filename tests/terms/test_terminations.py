"""Terminations: when an episode ends."""

import math

import numpy as np
import pytest

from ksim import BadVelocityTermination, FallenTermination, TimeOutTermination


def has_ended(termination, state):
    value, carry = termination(state, ())
    assert carry == ()
    return bool(value)


def pose(angle=0.0, height=1.0):
    return [0, 0, height, math.cos(angle / 2), math.sin(angle / 2), 0, 0, 0, 0, 0, 0, 0]


def test_fallen_by_height(model, make_state):
    fallen = FallenTermination.create(model, min_height=0.5)
    assert not fallen.is_time_out
    assert not has_ended(fallen, make_state(qpos=pose(height=0.51)))
    assert has_ended(fallen, make_state(qpos=pose(height=0.49)))
    # Head at 1 + 0.3 m when upright.
    head = FallenTermination.create(model, "head", min_height=1.2)
    assert not has_ended(head, make_state(qpos=pose(height=1.0)))
    assert has_ended(head, make_state(qpos=pose(height=0.8)))


@pytest.mark.parametrize(
    ("degrees", "is_fallen"), [(59, False), (61, True), (-61, True), (180, True)]
)
def test_fallen_by_tilt(degrees, is_fallen, model, make_state):
    fallen = FallenTermination.create(model, max_tilt_deg=60.0)
    assert has_ended(fallen, make_state(qpos=pose(math.radians(degrees)))) == is_fallen


def test_either_limit_is_enough(model, make_state):
    fallen = FallenTermination.create(model, min_height=0.5, max_tilt_deg=60.0)
    assert not has_ended(fallen, make_state(qpos=pose(0.5, 1.0)))
    assert has_ended(fallen, make_state(qpos=pose(0.5, 0.4)))
    assert has_ended(fallen, make_state(qpos=pose(1.5, 1.0)))


def test_what_is_not_a_number_has_fallen(model, make_state):
    state = make_state()
    broken = state.replace(physics=state.physics.replace(xpos=state.physics.xpos * np.nan))
    assert has_ended(FallenTermination.create(model, min_height=0.5), broken)


def test_fallen_needs_a_sensible_limit(model):
    with pytest.raises(ValueError, match="a limit is needed"):
        FallenTermination.create(model)
    with pytest.raises(ValueError, match="must lie between 0 and 180 degrees"):
        FallenTermination.create(model, max_tilt_deg=0.0)
    with pytest.raises(KeyError, match=r"FallenTermination\(body=.*torsoo.*\).*torso"):
        FallenTermination.create(model, "torsoo", min_height=0.5)


@pytest.mark.parametrize(
    ("velocity", "is_bad"), [(99.0, False), (-101.0, True), (np.nan, True), (np.inf, True)]
)
def test_bad_velocity(velocity, is_bad, make_state):
    bad = BadVelocityTermination(100.0)
    assert not bad.is_time_out
    state = make_state()
    qvel = state.physics.qvel.at[4].set(velocity)
    assert has_ended(bad, state.replace(physics=state.physics.replace(qvel=qvel))) == is_bad


def test_a_position_that_is_not_finite_is_bad(make_state):
    state = make_state()
    qpos = state.physics.qpos.at[8].set(np.nan)
    assert has_ended(
        BadVelocityTermination(), state.replace(physics=state.physics.replace(qpos=qpos))
    )


def test_time_out(make_state):
    time_out = TimeOutTermination(20.0)
    assert time_out.is_time_out
    assert not has_ended(time_out, make_state(time=19.98))
    assert has_ended(time_out, make_state(time=20.0))


@pytest.mark.parametrize("ctrl_dt", [0.02, 0.005])
@pytest.mark.parametrize("seconds", [20.0, 200.0, 201.0, 1000.0])
def test_time_out_ends_with_the_step_in_spite_of_rounding(seconds, ctrl_dt, make_state):
    count = round(seconds / ctrl_dt)
    last, end = (np.float32(steps) * np.float32(ctrl_dt) for steps in (count - 1, count))
    assert not has_ended(TimeOutTermination(seconds), make_state(time=last))
    assert has_ended(TimeOutTermination(seconds), make_state(time=end))
