"""Patterns in place of names: what they stand for in each term that takes names."""

import pytest

import ksim.terms as terms

LEFT_LEG = ("left_thigh", "left_shank")
FEET = ("left_foot", "right_foot")
KNEES = ("left_knee", "right_knee")


@pytest.mark.parametrize(
    ("create", "patterns", "names"),
    [
        (terms.JointPositionObservation.create, ("*_knee",), KNEES),
        (
            terms.JointDeviationReward.create,
            ("n*k", "right_*"),
            ("neck", "right_hip", "right_knee"),
        ),
        (terms.JointPositionReset.create, ("*_knee",), KNEES),
        (terms.DampingRandomizer.create, ("*_knee",), KNEES),
        (terms.TorqueActuators.create, ("*_knee",), KNEES),
        (terms.ActuatorForceObservation.create, ("*_knee",), KNEES),
        (terms.ActuatorGainRandomizer.create, ("*_knee",), KNEES),
        (terms.MassRandomizer.create, ("left_*",), LEFT_LEG),
        (terms.CenterOfMassRandomizer.create, ("left_*",), LEFT_LEG),
        (terms.FrictionRandomizer.create, ("*_foot",), FEET),
        (terms.ContactReward.create, ("*_touch",), ("left_touch", "right_touch")),
        (terms.FeetContactObservation.create, ("*_foot",), FEET),
        (terms.FeetPositionObservation.create, ("*_foot",), FEET),
        (
            terms.GaitPoseReward.create,
            [{"left_*": 0.5}, {"*_knee": 0.3, "right_knee": 0.6}],
            [{"left_hip": 0.5, "left_knee": 0.5}, {"left_knee": 0.3, "right_knee": 0.6}],
        ),
    ],
)
def test_a_pattern_is_short_for_names(model, create, patterns, names):
    assert create(model, patterns) == create(model, names)


@pytest.mark.parametrize(
    "create", [terms.MassRandomizer.create, terms.CenterOfMassRandomizer.create]
)
def test_all_bodies_are_those_of_the_robot(model, create):
    assert create(model, ("*",)) == create(model)


def test_a_pattern_whose_body_cannot_be_shifted_is_refused(make_model):
    ball = '<body name="ball"><freejoint/><geom size="0.1"/></body></worldbody>'
    model = make_model({"</worldbody>": ball})
    with pytest.raises(ValueError, match=r'CenterOfMassRandomizer\(body="ball"\): MuJoCo takes'):
        terms.CenterOfMassRandomizer.create(model, ("*",))
