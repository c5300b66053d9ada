"""Compiles MJCF files, and finds the parts of a model by name."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from ksim.config import unknown_name_message
from ksim.config.concerns import count_substeps
from ksim.physics.joints import JointIndex

_KINDS = {
    "body": mujoco.mjtObj.mjOBJ_BODY,
    "geom": mujoco.mjtObj.mjOBJ_GEOM,
    "site": mujoco.mjtObj.mjOBJ_SITE,
    "sensor": mujoco.mjtObj.mjOBJ_SENSOR,
    "actuator": mujoco.mjtObj.mjOBJ_ACTUATOR,
    "keyframe": mujoco.mjtObj.mjOBJ_KEY,
}


def load_mjcf(path: str | Path) -> mujoco.MjModel:
    """Compiles an MJCF (or URDF) file.

    Raises:
      ValueError: if the file does not exist or MuJoCo cannot compile it.
    """
    if str(path).lstrip().startswith("<"):
        raise ValueError(
            f"load_mjcf takes the path of a file, found the text {str(path).strip()[:20]!r} ..."
            " Write mujoco.MjModel.from_xml_string(text)."
        )
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"MJCF file {path} is a folder. Give the path of an .xml file in it.")
    if not path.is_file():
        raise ValueError(f"MJCF file {path} does not exist. Give the path of an .xml file.")
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise ValueError(f"MuJoCo cannot compile {path}: {error}") from error


@dataclasses.dataclass(frozen=True, eq=False)
class PhysicsModel:
    """A MuJoCo model, the time steps it is simulated with, and its parts by name.

    Attributes:
      mj_model: the compiled model.
      dt: physics time step, s.
      ctrl_dt: control time step, s: a whole number of physics steps.
    """

    mj_model: mujoco.MjModel
    dt: float
    ctrl_dt: float

    @classmethod
    def create(
        cls,
        mj_model: mujoco.MjModel,
        dt: float,
        ctrl_dt: float,
        iterations: int | None = None,
        ls_iterations: int | None = None,
    ) -> "PhysicsModel":
        """Sets the options of a run on a compiled model.

        Args:
          mj_model: the model; its options are changed in place.
          dt: physics time step, s.
          ctrl_dt: control time step, s.
          iterations: constraint solver iterations; `None` keeps the model's.
          ls_iterations: line-search iterations; `None` keeps the model's.

        Raises:
          ConfigError: if `ctrl_dt` is not a whole multiple of `dt`.
        """
        count_substeps(dt, ctrl_dt)
        mj_model.opt.timestep = dt
        if iterations is not None:
            mj_model.opt.iterations = iterations
        if ls_iterations is not None:
            mj_model.opt.ls_iterations = ls_iterations
        return cls(mj_model, dt, ctrl_dt)

    @property
    def num_substeps(self) -> int:
        """Number of physics steps in one control step."""
        return count_substeps(self.dt, self.ctrl_dt)

    @functools.cached_property
    def joints(self) -> JointIndex:
        """The joints by name."""
        return JointIndex(self.mj_model)

    def names(self, kind: str) -> tuple[str, ...]:
        """Returns the names of all bodies, geoms, sites, sensors, actuators or keyframes."""
        count = {
            "body": self.mj_model.nbody,
            "geom": self.mj_model.ngeom,
            "site": self.mj_model.nsite,
            "sensor": self.mj_model.nsensor,
            "actuator": self.mj_model.nu,
            "keyframe": self.mj_model.nkey,
        }[kind]
        found = (mujoco.mj_id2name(self.mj_model, _KINDS[kind], i) for i in range(count))
        return tuple(name for name in found if name)

    def find(self, kind: str, name: str, asked_by: str) -> int:
        """Returns the id of a named part of the model.

        Args:
          kind: `body`, `geom`, `site`, `sensor`, `actuator` or `keyframe`.
          name: its name in the MJCF.
          asked_by: the class that asks, for the error message, as `UprightReward`.

        Raises:
          KeyError: if there is no such part; the message lists those that exist.
        """
        part_id = mujoco.mj_name2id(self.mj_model, _KINDS[kind], name)
        if part_id < 0:
            message = unknown_name_message(name, self.names(kind), kind=kind)
            raise KeyError(f'{asked_by}({kind}="{name}"): {message}')
        return part_id

    def sensor_slice(self, name: str, asked_by: str) -> tuple[int, int]:
        """Returns the begin and the end of a sensor's values in `sensordata`.

        Raises:
          KeyError: if there is no such sensor.
        """
        sensor_id = self.find("sensor", name, asked_by)
        start = int(self.mj_model.sensor_adr[sensor_id])
        return start, start + int(self.mj_model.sensor_dim[sensor_id])


def subtree_membership(parent_ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns `[nbody, nbody]`, 1 where the first body is in the subtree of the second.

    Args:
      parent_ids: `[nbody]` the parent of every body, MuJoCo's `body_parentid`.
    """
    is_in = np.eye(len(parent_ids))
    # Children come after their parents, so a body's column is complete when it is added.
    for body in range(len(parent_ids) - 1, 0, -1):
        is_in[:, parent_ids[body]] += is_in[:, body]
    return is_in


def asset_path(name: str) -> Path:
    """Returns the path of an MJCF file that comes with ksim, such as `humanoid.xml`.

    Raises:
      KeyError: if there is no such file; the message lists those that exist.
    """
    folder = Path(__file__).parent.parent / "assets"
    path = folder / name
    if not path.is_file():
        known = sorted(file.name for file in folder.glob("*.xml"))
        message = unknown_name_message(name, known, kind="model", place="in ksim/assets")
        raise KeyError(f'asset_path("{name}"): {message}')
    return path
