"""Resets: the state in which an episode begins."""

from ksim.terms.resets.base import Reset
from ksim.terms.resets.base_pose import BaseVelocityReset, HeadingReset, HeightReset
from ksim.terms.resets.joints import JointPositionReset, JointVelocityReset
from ksim.terms.resets.keyframe import KeyframeReset
from ksim.terms.resets.pose import PoseReset

__all__ = [
    "BaseVelocityReset",
    "HeadingReset",
    "HeightReset",
    "JointPositionReset",
    "JointVelocityReset",
    "KeyframeReset",
    "PoseReset",
    "Reset",
]
