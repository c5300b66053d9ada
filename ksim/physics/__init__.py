"""MJCF models, the joint index, and physics engines. Knows MuJoCo; knows no learning."""

import importlib
from typing import TYPE_CHECKING, Any

from ksim.physics.computed_fields import check_computed
from ksim.physics.data import FieldsRead, NamedFields, PhysicsData, ReadRecorder
from ksim.physics.engines.base import EpisodeStart, ModelFields, PhysicsEngine
from ksim.physics.engines.native.engine import NativeEngine, num_host_cores
from ksim.physics.frames import FreeJoint, MovingBody, MovingFrame, moving_frame, velocity_at
from ksim.physics.joints import JointIndex, JointSelection
from ksim.physics.model import PhysicsModel, asset_path, load_mjcf
from ksim.physics.names import check_names, fitting_names, match_names
from ksim.physics.stability import find_unstable_joints

if TYPE_CHECKING:
    from ksim.physics.engines.mjx import MjxEngine
    from ksim.physics.engines.warp import WarpEngine
    from ksim.physics.engines.warp_functions import StepwiseMjx, WarpFunctions

__all__ = [
    "EpisodeStart",
    "FieldsRead",
    "FreeJoint",
    "JointIndex",
    "JointSelection",
    "MjxEngine",
    "ModelFields",
    "MovingBody",
    "MovingFrame",
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
    "check_computed",
    "check_names",
    "find_unstable_joints",
    "fitting_names",
    "load_mjcf",
    "match_names",
    "moving_frame",
    "num_host_cores",
    "velocity_at",
]

# Loaded when they are first used: native physics need not wait for the import of MJX.
_OF_MJX = {
    "MjxEngine": "mjx",
    "StepwiseMjx": "warp_functions",
    "WarpEngine": "warp",
    "WarpFunctions": "warp_functions",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_MJX:
        raise AttributeError(f"module 'ksim.physics' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ksim.physics.engines.{_OF_MJX[name]}"), name)
