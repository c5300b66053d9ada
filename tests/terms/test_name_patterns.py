"""Patterns in place of names: what they stand for in each term that takes names."""

import pytest

import ksim

LEFT_LEG = ("left_thigh", "left_shank")
FEET = ("left_foot", "right_foot")
KNEES = ("left_knee", "right_knee")


@pytest.mark.parametrize(
    ("create", "patterns", "names"),
    [
        (ksim.JointPositionObservation.create, ("*_knee",), KNEES),
        (
            ksim.JointDeviationReward.create,
            ("n*k", "right_*"),
            ("neck", "right_hip", "right_knee"),
        ),
        (ksim.JointPositionReset.create, ("*_knee",), KNEES),
        (ksim.DampingRandomizer.create, ("*_knee",), KNEES),
        (ksim.TorqueActuators.create, ("*_knee",), KNEES),
        (ksim.ActuatorForceObservation.create, ("*_knee",), KNEES),
        (ksim.ActuatorGainRandomizer.create, ("*_knee",), KNEES),
        (ksim.MassRandomizer.create, ("left_*",), LEFT_LEG),
        (ksim.CenterOfMassRandomizer.create, ("left_*",), LEFT_LEG),
        (ksim.FrictionRandomizer.create, ("*_foot",), FEET),
        (ksim.ContactReward.create, ("*_touch",), ("left_touch", "right_touch")),
        (ksim.FeetContactObservation.create, ("*_foot",), FEET),
        (ksim.FeetPositionObservation.create, ("*_foot",), FEET),
        (
            ksim.GaitPoseReward.create,
            [{"left_*": 0.5}, {"*_knee": 0.3, "right_knee": 0.6}],
            [{"left_hip": 0.5, "left_knee": 0.5}, {"left_knee": 0.3, "right_knee": 0.6}],
        ),
    ],
)
def test_a_pattern_is_short_for_names(model, create, patterns, names):
    assert create(model, patterns) == create(model, names)


@pytest.mark.parametrize("create", [ksim.MassRandomizer.create, ksim.CenterOfMassRandomizer.create])
def test_all_bodies_are_those_of_the_robot(model, create):
    assert create(model, ("*",)) == create(model)


def test_a_pattern_whose_body_cannot_be_shifted_is_refused(make_model):
    ball = '<body name="ball"><freejoint/><geom size="0.1"/></body></worldbody>'
    model = make_model({"</worldbody>": ball})
    with pytest.raises(ValueError, match=r'CenterOfMassRandomizer\(body="ball"\): MuJoCo takes'):
        ksim.CenterOfMassRandomizer.create(model, ("*",))
