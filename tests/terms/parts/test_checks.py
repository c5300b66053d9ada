"""Numbers that terms refuse, and what they say."""

import math

import jaxtyping
import pytest

from ksim import (
    AngularVelocityCommand,
    BadVelocityTermination,
    ConstantCurriculum,
    GaussianNoise,
    LinearVelocityCommand,
)


def test_the_message_names_class_field_value_rule_and_example():
    with pytest.raises(ValueError) as error:
        BadVelocityTermination(-1.0)
    assert str(error.value) == (
        "BadVelocityTermination(max_velocity=-1.0): max_velocity must be positive."
        " Write max_velocity=100.0, for instance."
    )


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_positive(value):
    with pytest.raises(ValueError, match="must be positive"):
        BadVelocityTermination(value)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_not_negative(value):
    assert GaussianNoise(0.0).std == 0.0
    with pytest.raises(ValueError, match="must not be negative"):
        GaussianNoise(value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_fraction(value):
    assert ConstantCurriculum(0.0).level == 0.0
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        ConstantCurriculum(value)


@pytest.mark.parametrize("value", [(1.0, -1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_range(value):
    assert AngularVelocityCommand(ctrl_dt=0.02, yaw_range=(1.0, 1.0)).yaw_range == (1.0, 1.0)
    with pytest.raises(ValueError, match=r"must be \(lower, upper\) with lower <= upper\."):
        AngularVelocityCommand(ctrl_dt=0.02, yaw_range=value)


def test_range_with_a_lowest_end():
    with pytest.raises(ValueError, match="with lower <= upper and lower >= 0"):
        LinearVelocityCommand(ctrl_dt=0.02, interval_range=(-1.0, 1.0))


@pytest.mark.parametrize("value", ["0.5", None, (0.5,)])
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (BadVelocityTermination, "max_velocity"),
        (GaussianNoise, "std"),
        (ConstantCurriculum, "level"),
    ],
)
def test_what_is_no_number(make, field, value, monkeypatch):
    # As in a user's program: jaxtyping would say it in its own words.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match=f"{field} must be a number. Write {field}="):
        make(value)
