"""Randomized inertia of bodies that move alone, which MuJoCo caches (`body_simple`)."""

import mujoco
import numpy as np
from mujoco import batch as mujoco_batch

INERTIAL_FIELDS = ("body_mass", "body_inertia", "dof_armature")


class SimpleInertias:
    """Updates the inertia that MuJoCo cached when it compiled the model.

    A body that floats, turns or slides alone about its centre of mass has the same inertia in every
    pose, and MuJoCo computes that once (`body_simple`, `dof_M0`): gravity would follow another
    mass, and the inertia would not.
    """

    def __init__(self, batch: mujoco_batch.Batch, mj_model: mujoco.MjModel) -> None:
        (self._dofs,) = np.nonzero(mj_model.dof_simplenum > 0)
        self._bodies = mj_model.dof_bodyid[self._dofs]
        # 0 where the mass resists, else 1 + the axis of the inertia that resists.
        self._kinds = np.array([_kind(mj_model, dof) for dof in self._dofs.tolist()], int)
        self._inertias = batch.expand("dof_M0")
        self._compiled = {name: getattr(mj_model, name).copy() for name in INERTIAL_FIELDS}
        self._without_armature = (mj_model.dof_M0 - mj_model.dof_armature)[self._dofs]

    def follow(self, fields: dict[str, np.ndarray]) -> None:
        """Sets the inertia of every simulation.

        Args:
          fields: `[num_simulations, ...]` the fields of `INERTIAL_FIELDS` that differ.
        """
        now = self._compiled | {name: fields[name] for name in INERTIAL_FIELDS if name in fields}
        ratio = self._resistance(now) / self._resistance(self._compiled)
        armature = now["dof_armature"][..., self._dofs]
        self._inertias[:, self._dofs] = self._without_armature * ratio + armature

    def _resistance(self, fields: dict[str, np.ndarray]) -> np.ndarray:
        """Returns `[..., dofs]` the mass, or the inertia about the axis, of each body."""
        mass = fields["body_mass"][..., self._bodies]
        inertia = fields["body_inertia"][..., self._bodies, np.maximum(self._kinds - 1, 0)]
        return np.where(self._kinds == 0, mass, inertia)


def _kind(mj_model: mujoco.MjModel, dof: int) -> int:
    joint = mj_model.dof_jntid[dof]
    place = dof - int(mj_model.jnt_dofadr[joint])
    match mujoco.mjtJoint(mj_model.jnt_type[joint]):
        case mujoco.mjtJoint.mjJNT_FREE:
            return max(place - 2, 0)
        case mujoco.mjtJoint.mjJNT_BALL:
            return 1 + place
        case mujoco.mjtJoint.mjJNT_HINGE:
            return 1 + int(np.argmax(np.abs(mj_model.jnt_axis[joint])))
        case _:
            return 0
