"""Numbers for joints by name, pattern and keyframe."""

import jaxtyping
import numpy as np
import pytest

from ksim.terms.parts.joint_values import resolve_joint_values, resolve_pose

JOINTS = ("left_hip", "left_knee", "right_knee")


def test_one_number_is_for_all():
    assert resolve_joint_values(2, JOINTS, "Term", "kp") == (2.0, 2.0, 2.0)


def test_a_name_goes_before_a_pattern_and_an_earlier_pattern_before_a_later():
    values = {"*_knee": 1.0, "*": 2.0, "left_knee": 3.0}
    assert resolve_joint_values(values, JOINTS, "Term", "kp") == (2.0, 3.0, 1.0)


def test_a_pattern_that_fits_no_joint():
    with pytest.raises(KeyError, match=r"Term\(kp=.*\*_ankle.*no such joint.*left_hip"):
        resolve_joint_values({"*": 1.0, "*_ankle": 2.0}, JOINTS, "Term", "kp")


def test_a_joint_without_a_number():
    with pytest.raises(KeyError, match=r'"left_hip" gets no number. Add "left_hip"'):
        resolve_joint_values({"*_knee": 1.0}, JOINTS, "Term", "kp")


def test_poses(model):
    joints = model.joints.select(("neck", "left_hip", "left_knee"))
    # The MJCF gives the neck a reference of 0.1, where the keyframe has 0.
    assert resolve_pose(model, joints, None, "Term") == (0.1, 0.0, 0.0)
    assert resolve_pose(model, joints, "stand", "Term") == (0.0, -0.2, 0.4)
    assert resolve_pose(model, joints, {"*_knee": 0.3}, "Term") == (0.1, 0.0, 0.3)


def test_unknown_poses(model):
    joints = model.joints.select()
    with pytest.raises(KeyError, match=r"Term\(keyframe=.*stan.*\).*stand"):
        resolve_pose(model, joints, "stan", "Term")
    with pytest.raises(KeyError, match=r"Term\(default_positions=.*hip_left"):
        resolve_pose(model, joints, {"hip_left": 0.3}, "Term")


@pytest.mark.parametrize("pose", [0.3, [0.3] * 5, (0.3,) * 5, np.full(5, 0.3)], ids=str)
def test_positions_of_a_pose_have_names(pose, model, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match=r"Term\(default_positions=.*the name of a keyframe, or"):
        resolve_pose(model, model.joints.select(), pose, "Term")


@pytest.mark.parametrize("values", ["high", [1.0, 2.0], np.ones(2)])
def test_numbers_for_joints_have_names(values, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match=r"Servo\(kp=.*one number for all joints, or numbers by"):
        resolve_joint_values(values, ("left_knee", "right_knee"), "Servo", "kp")
