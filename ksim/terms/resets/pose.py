"""Reset of joints to a pose."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.physics import EpisodeStart, JointSelection, PhysicsModel
from ksim.terms.parts.joint_values import Pose, resolve_pose
from ksim.terms.parts.lookup import Names
from ksim.terms.resets.base import Reset
from ksim.terms.term import Carry

_TOLERANCE = 1e-3
"""Largest distance of a pose beyond a joint's limits, rad or m: files round their keyframes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseReset(Reset):
    """Puts joints at rest into a pose; goes before resets that change it.

    For robots whose file has no keyframe. The base stays where it is: where bent legs would hang in
    the air, `HeightReset` lowers it.

    Attributes:
      joints: the joints.
      default_positions: the pose, rad (m for a slide), within the joints' limits.
    """

    joints: JointSelection
    default_positions: tuple[float, ...]

    @classmethod
    def create(
        cls, model: PhysicsModel, default_positions: Pose, *, joints: Names | None = None
    ) -> "PoseReset":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        For `default_positions` see `Pose`. `joints` are by default all hinges and slides; other
        joints are left alone.

        Raises:
          KeyError: if a joint or the keyframe does not exist.
          ValueError: if a position is beyond its joint's limits.
        """
        selection = model.joints.select(joints, cls.__name__)
        positions = resolve_pose(model, selection, default_positions, cls.__name__)
        return cls(joints=selection, default_positions=positions)

    def __post_init__(self) -> None:
        joints = self.joints
        limits = zip(joints.names, self.default_positions, joints.lower, joints.upper, strict=True)
        for joint, position, lower, upper in limits:
            if not lower - _TOLERANCE <= position <= upper + _TOLERANCE:
                nearest = min(max(position, lower), upper)
                raise ValueError(
                    f'{type(self).__name__}(default_positions={{"{joint}": {position:g}}}): the'
                    f" position must lie within the joint's limits, {lower:g} to {upper:g}."
                    f' Write default_positions={{"{joint}": {nearest:g}}}, for instance.'
                )

    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the start with the joints in the pose, at rest."""
        del level, key
        positions = jnp.asarray(self.default_positions, start.qpos.dtype)
        velocities = jnp.zeros(len(self.joints), start.qvel.dtype)
        qpos = self.joints.set_positions(start.qpos, positions)
        qvel = self.joints.set_velocities(start.qvel, velocities)
        return EpisodeStart(qpos=qpos, qvel=qvel), carry
