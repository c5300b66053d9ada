"""Where each joint stands in `qpos` and `qvel`: the one place that knows."""

import dataclasses

import jax
import mujoco
import numpy as np
from jaxtyping import Array, Float

from ksim.config import unknown_name_message
from ksim.physics.data import PhysicsData


@dataclasses.dataclass(frozen=True)
class FreeJoint:
    """The free joint of a floating base: 7 numbers in `qpos`, 6 in `qvel`.

    Attributes:
      body_id: the body that floats.
      qpos_start: index of its position in `qpos`, followed by its quaternion.
      qvel_start: index of its linear velocity in `qvel`, followed by its angular velocity.
    """

    body_id: int
    qpos_start: int
    qvel_start: int

    @property
    def position_slice(self) -> slice:
        """The 3 position numbers within `qpos`."""
        return slice(self.qpos_start, self.qpos_start + 3)

    @property
    def orientation_slice(self) -> slice:
        """The 4 quaternion numbers within `qpos`."""
        return slice(self.qpos_start + 3, self.qpos_start + 7)

    @property
    def linear_slice(self) -> slice:
        """The 3 linear velocities within `qvel`."""
        return slice(self.qvel_start, self.qvel_start + 3)

    @property
    def angular_slice(self) -> slice:
        """The 3 angular velocities within `qvel`."""
        return slice(self.qvel_start + 3, self.qvel_start + 6)

    def position(self, data: PhysicsData) -> Float[Array, "3"]:
        """Position in the world, metres."""
        return data.qpos[self.position_slice]

    def orientation(self, data: PhysicsData) -> Float[Array, "4"]:
        """Orientation in the world, unit quaternion `(w, x, y, z)`."""
        return data.qpos[self.orientation_slice]

    def linear_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Linear velocity in the *world's* frame, m/s."""
        return data.qvel[self.linear_slice]

    def angular_velocity(self, data: PhysicsData) -> Float[Array, "3"]:
        """Angular velocity in the *body's* frame, rad/s."""
        return data.qvel[self.angular_slice]


@dataclasses.dataclass(frozen=True)
class JointSelection:
    """Some hinge and slide joints, by name, with their places in the state.

    Attributes:
      names: the joints, in the order asked for.
      qpos_ids: index of each within `qpos`.
      qvel_ids: index of each within `qvel`.
      lower: lower limit of each, rad or m; -inf where unlimited.
      upper: upper limit of each, rad or m; inf where unlimited.
    """

    names: tuple[str, ...]
    qpos_ids: tuple[int, ...]
    qvel_ids: tuple[int, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.names)

    def positions(self, qpos: Float[Array, "nq"]) -> Float[Array, "joints"]:
        """Joint positions, rad or m."""
        return qpos[np.array(self.qpos_ids)]

    def velocities(self, qvel: Float[Array, "nv"]) -> Float[Array, "joints"]:
        """Joint velocities, rad/s or m/s."""
        return qvel[np.array(self.qvel_ids)]

    def set_positions(
        self, qpos: Float[Array, "nq"], positions: Float[Array, "joints"]
    ) -> Float[Array, "nq"]:
        """Returns `qpos` with the positions of these joints replaced."""
        return jax.numpy.asarray(qpos).at[np.array(self.qpos_ids)].set(positions)

    def set_velocities(
        self, qvel: Float[Array, "nv"], velocities: Float[Array, "joints"]
    ) -> Float[Array, "nv"]:
        """Returns `qvel` with the velocities of these joints replaced."""
        return jax.numpy.asarray(qvel).at[np.array(self.qvel_ids)].set(velocities)


class JointIndex:
    """Finds joints by name.

    Attributes:
      base: the free joint, or `None` if the model's base is fixed. Of several free joints (a
        robot and a ball, say) it is the first in the model's order.
      names: all hinge and slide joints, in the model's order.
    """

    def __init__(self, mj_model: mujoco.MjModel) -> None:
        self._selections: dict[str, tuple[int, int, float, float]] = {}
        self.base: FreeJoint | None = None
        for joint_id in range(mj_model.njnt):
            self._add(mj_model, joint_id)
        self.names = tuple(self._selections)

    def _add(self, mj_model: mujoco.MjModel, joint_id: int) -> None:
        kind = mujoco.mjtJoint(mj_model.jnt_type[joint_id])
        qpos_start = int(mj_model.jnt_qposadr[joint_id])
        qvel_start = int(mj_model.jnt_dofadr[joint_id])
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            if self.base is None:
                body_id = int(mj_model.jnt_bodyid[joint_id])
                self.base = FreeJoint(body_id, qpos_start, qvel_start)
        elif kind in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
            name = mj_model.joint(joint_id).name or f"joint_{joint_id}"
            is_limited = bool(mj_model.jnt_limited[joint_id])
            low, high = mj_model.jnt_range[joint_id] if is_limited else (-np.inf, np.inf)
            self._selections[name] = (qpos_start, qvel_start, float(low), float(high))

    def select(
        self, names: tuple[str, ...] | list[str] | None = None, asked_by: str = "joints"
    ) -> JointSelection:
        """Returns joints by name; `None` selects all hinge and slide joints.

        Raises:
          KeyError: if a name is not a hinge or slide joint of the model.
        """
        chosen = self.names if names is None else tuple(names)
        for name in chosen:
            if name not in self._selections:
                message = unknown_name_message(name, self.names, kind="joint")
                raise KeyError(f'{asked_by}(joint="{name}"): {message}')
        rows = [self._selections[name] for name in chosen]
        qpos_ids, qvel_ids, lower, upper = zip(*rows, strict=True) if rows else ((), (), (), ())
        return JointSelection(chosen, qpos_ids, qvel_ids, lower, upper)

    def require_base(self, asked_by: str) -> FreeJoint:
        """Returns the free joint.

        Raises:
          ValueError: if the model has none.
        """
        if self.base is None:
            raise ValueError(
                f"{asked_by} needs a floating base, but the model has no free joint."
                " Add <freejoint/> to the robot's base body, or leave this term out."
            )
        return self.base
