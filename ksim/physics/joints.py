"""Finds joints by name, and their places in `qpos` and `qvel`: nothing else knows those."""

import dataclasses
from collections.abc import Iterable

import mujoco
import numpy as np
from jaxtyping import Array, Float

from ksim.config import unknown_name_message
from ksim.physics.frames import FreeJoint, find_base, find_floating
from ksim.physics.names import match_names
from ksim.xla.rows import replace_rows


@dataclasses.dataclass(frozen=True)
class JointSelection:
    """Hinge and slide joints, by name, with their places in the state.

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
        """Returns the joint positions, rad or m."""
        return qpos[np.array(self.qpos_ids, dtype=int)]

    def velocities(self, qvel: Float[Array, "nv"]) -> Float[Array, "joints"]:
        """Returns the joint velocities, rad/s or m/s."""
        return qvel[np.array(self.qvel_ids, dtype=int)]

    def set_positions(
        self, qpos: Float[Array, "nq"], positions: Float[Array, "joints"]
    ) -> Float[Array, "nq"]:
        """Returns `qpos` with the positions of these joints replaced."""
        return replace_rows(qpos, self.qpos_ids, positions)

    def set_velocities(
        self, qvel: Float[Array, "nv"], velocities: Float[Array, "joints"]
    ) -> Float[Array, "nv"]:
        """Returns `qvel` with the velocities of these joints replaced."""
        return replace_rows(qvel, self.qvel_ids, velocities)


class JointIndex:
    """Finds joints by name.

    Attributes:
      base: the free joint of the robot, or `None` if its base is fixed. Of several floating bodies
        (a robot and a ball, say) the robot is the first that an actuator moves; in a model without
        actuators, the first.
      names: all hinge and slide joints, in the model's order. A joint without a name is called
        `joint_<id>`.
    """

    def __init__(self, mj_model: mujoco.MjModel) -> None:
        self._selections: dict[str, tuple[int, int, float, float]] = {}
        self._others: dict[str, str] = {}
        self._named = {mj_model.joint(joint_id).name for joint_id in range(mj_model.njnt)}
        for joint_id in range(mj_model.njnt):
            self._add(mj_model, joint_id)
        self.names = tuple(self._selections)
        self.base = find_base(mj_model)
        self._floating = {
            mj_model.body(body_id).name or f"body {body_id}": joint
            for body_id, joint in find_floating(mj_model).items()
        }

    def _add(self, mj_model: mujoco.MjModel, joint_id: int) -> None:
        kind = mujoco.mjtJoint(mj_model.jnt_type[joint_id])
        name = mj_model.joint(joint_id).name or self._name_for(joint_id)
        if kind in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
            qpos_start = int(mj_model.jnt_qposadr[joint_id])
            qvel_start = int(mj_model.jnt_dofadr[joint_id])
            is_limited = bool(mj_model.jnt_limited[joint_id])
            low, high = mj_model.jnt_range[joint_id] if is_limited else (-np.inf, np.inf)
            self._selections[name] = (qpos_start, qvel_start, float(low), float(high))
        else:
            self._others[name] = "free" if kind == mujoco.mjtJoint.mjJNT_FREE else "ball"

    def _name_for(self, joint_id: int) -> str:
        """Returns a name for an unnamed joint that no other joint has."""
        name = f"joint_{joint_id}"
        while name in self._named:
            name += "_"
        return name

    def select(
        self, names: tuple[str, ...] | list[str] | None = None, asked_by: str = "joints"
    ) -> JointSelection:
        """Returns joints by name or pattern, as `match_names`; `None` selects all of `names`.

        Raises:
          KeyError: if a name is not a hinge or slide joint of the model, or a pattern fits none.
          TypeError: if the names are a single text.
          ValueError: if a joint is named twice.
        """
        chosen = self.names
        if names is not None:
            self._refuse_others(names, asked_by)
            chosen = match_names(names, self.names, "joint", asked_by)
        rows = [self._selections[name] for name in chosen]
        qpos_ids, qvel_ids, lower, upper = zip(*rows, strict=True) if rows else ((), (), (), ())
        return JointSelection(chosen, qpos_ids, qvel_ids, lower, upper)

    def _refuse_others(self, names: Iterable[str], asked_by: str) -> None:
        for name in names:
            if name in self._others:
                raise KeyError(
                    f'{asked_by}(joint="{name}"): this is a {self._others[name]} joint, and only'
                    " hinges and slides can be selected. Read state.physics.qpos and qvel in a"
                    " term of your own."
                )

    def free_joint(self, body: str, asked_by: str = "joints") -> FreeJoint:
        """Returns the free joint of any floating body, such as a ball beside the robot.

        Raises:
          KeyError: if no such body floats.
        """
        if body not in self._floating:
            message = unknown_name_message(body, self._floating, kind="floating body")
            raise KeyError(f'{asked_by}(body="{body}"): {message}')
        return self._floating[body]

    def require_base(self, asked_by: str, body_argument: str = "") -> FreeJoint:
        """Returns the free joint of the robot.

        Args:
          asked_by: the class that asks, for the error message.
          body_argument: the argument by which `asked_by` takes a body instead, as `body="torso"`.

        Raises:
          ValueError: if its base is fixed.
        """
        if self.base is None:
            found = "the model has no free joint"
            if self._floating:
                found = f"no actuator moves a body that floats ({', '.join(self._floating)})"
            advice = f"write {body_argument}" if body_argument else "leave this term out"
            raise ValueError(
                f"{asked_by} needs a floating base, but {found}."
                f" Add <freejoint/> to the robot's base body, or {advice}."
            )
        return self.base
