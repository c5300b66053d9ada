"""MJCF models, the joint index, and physics engines. Knows MuJoCo; knows no learning."""

from ksim.physics.data import NamedFields, PhysicsData, ReadRecorder
from ksim.physics.engine import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.joints import FreeJoint, JointIndex, JointSelection
from ksim.physics.mjx_engine import MjxEngine
from ksim.physics.model import PhysicsModel, asset_path, load_mjcf
from ksim.physics.native_engine import NativeEngine, num_host_cores
from ksim.physics.warp_engine import WarpEngine
from ksim.physics.warp_functions import StepwiseMjx, WarpFunctions

__all__ = [
    "EpisodeStart",
    "FreeJoint",
    "JointIndex",
    "JointSelection",
    "MjxEngine",
    "ModelFields",
    "NamedFields",
    "NativeEngine",
    "PhysicsData",
    "PhysicsEngine",
    "PhysicsModel",
    "ReadRecorder",
    "StepwiseMjx",
    "WarpEngine",
    "WarpFunctions",
    "asset_path",
    "load_mjcf",
    "num_host_cores",
]
