"""Rewards: what is worth doing, and what it costs."""

from ksim.terms.rewards.base import Reward
from ksim.terms.rewards.base_motion import AngularVelocityXYReward, VerticalVelocityReward
from ksim.terms.rewards.contact import ContactReward
from ksim.terms.rewards.effort import (
    ActionRateReward,
    EnergyReward,
    JointAccelerationReward,
    TorqueReward,
)
from ksim.terms.rewards.feet import FeetAirTimeReward, FeetClearanceReward, FeetSlipReward
from ksim.terms.rewards.gait import GaitPhaseReward, SingleStanceReward
from ksim.terms.rewards.gait_pose import GaitPoseReward
from ksim.terms.rewards.joints import JointDeviationReward, JointLimitReward, StandStillReward
from ksim.terms.rewards.posture import AliveReward, BaseHeightReward, UprightReward
from ksim.terms.rewards.tracking import (
    AngularVelocityTrackingReward,
    LinearVelocityTrackingReward,
)

__all__ = [
    "ActionRateReward",
    "AliveReward",
    "AngularVelocityTrackingReward",
    "AngularVelocityXYReward",
    "BaseHeightReward",
    "ContactReward",
    "EnergyReward",
    "FeetAirTimeReward",
    "FeetClearanceReward",
    "FeetSlipReward",
    "GaitPhaseReward",
    "GaitPoseReward",
    "JointAccelerationReward",
    "JointDeviationReward",
    "JointLimitReward",
    "LinearVelocityTrackingReward",
    "Reward",
    "SingleStanceReward",
    "StandStillReward",
    "TorqueReward",
    "UprightReward",
    "VerticalVelocityReward",
]
