"""MJCF models, the joint index, and physics engines. Knows MuJoCo; knows no learning."""

from ksim.physics.data import PhysicsData, ReadRecorder
from ksim.physics.engine import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.floating_base import FreeJoint
from ksim.physics.joints import JointIndex, JointSelection
from ksim.physics.mjx_engine import MjxEngine
from ksim.physics.model import PhysicsModel, asset_path, load_mjcf
from ksim.physics.names import check_names
from ksim.physics.native_engine import NativeEngine, num_host_cores
from ksim.physics.on_demand import check_computed

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
    "check_computed",
    "check_names",
    "load_mjcf",
    "num_host_cores",
]
