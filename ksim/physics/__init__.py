"""MJCF models, the joint index, and physics engines; knows MuJoCo and no learning."""

from ksim.physics.computed_fields import check_computed
from ksim.physics.data import FieldsRead, NamedFields, PhysicsData, ReadRecorder
from ksim.physics.engines.base import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.frames import FreeJoint, MovingBody, MovingFrame, moving_frame, velocity_at
from ksim.physics.joints import JointIndex, JointSelection
from ksim.physics.model import PhysicsModel, asset_path, load_mjcf
from ksim.physics.names import check_names, fitting_names, match_names
from ksim.physics.stability import find_unstable_joints

__all__ = [
    "EpisodeStart",
    "FieldsRead",
    "FreeJoint",
    "JointIndex",
    "JointSelection",
    "ModelFields",
    "MovingBody",
    "MovingFrame",
    "NamedFields",
    "PhysicsData",
    "PhysicsEngine",
    "PhysicsModel",
    "ReadRecorder",
    "asset_path",
    "check_computed",
    "check_names",
    "find_unstable_joints",
    "fitting_names",
    "load_mjcf",
    "match_names",
    "moving_frame",
    "velocity_at",
]
