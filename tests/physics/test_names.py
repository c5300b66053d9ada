"""Names and patterns that stand for parts of a model."""

import pytest

from ksim.physics import match_names

KNOWN = ("left_hip", "left_knee", "right_hip", "right_knee", "odd*name", "left")


def match(*names):
    return match_names(names, KNOWN, "joint", "Reward")


def test_a_pattern_stands_for_what_it_fits_in_the_models_order():
    assert match("*_knee", "left") == ("left_knee", "right_knee", "left")
    assert match("right_*") == ("right_hip", "right_knee")
    assert match("l*_hip", "?ight_hip") == ("left_hip", "right_hip")


def test_what_stands_before_is_not_there_again():
    assert match("right_knee", "*_knee") == ("right_knee", "left_knee")
    assert match("*_knee", "right_knee") == ("left_knee", "right_knee")


def test_a_name_goes_before_a_pattern():
    assert match("odd*name") == ("odd*name",)


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (("*_ankle",), KeyError, r'Reward\(joint="\*_ankle"\): no such joint.*Joints: left_hip'),
        (("left_nee",), KeyError, r'Reward\(joint="left_nee"\).*Did you mean "left_knee"'),
        (("left", "left"), ValueError, "named twice"),
        ("left", TypeError, "names come as a tuple"),
    ],
)
def test_names_that_fit_nothing(names, error, message):
    with pytest.raises(error, match=message):
        match_names(names, KNOWN, "joint", "Reward")
