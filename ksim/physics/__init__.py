"""MJCF models, the joint index, and physics engines. Knows MuJoCo; knows no learning."""

from ksim.physics.data import PhysicsData, ReadRecorder
from ksim.physics.engine import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.joints import FreeJoint, JointIndex, JointSelection
from ksim.physics.mjx_engine import MjxEngine
from ksim.physics.model import PhysicsModel, asset_path, load_mjcf
from ksim.physics.native_engine import NativeEngine, num_host_cores

__all__ = [
    "EpisodeStart",
    "FreeJoint",
    "JointIndex",
    "JointSelection",
    "MjxEngine",
    "ModelFields",
    "NativeEngine",
    "PhysicsData",
    "PhysicsEngine",
    "PhysicsModel",
    "ReadRecorder",
    "asset_path",
    "load_mjcf",
    "num_host_cores",
]
