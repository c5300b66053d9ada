"""Resets of joint positions and velocities."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.physics import EpisodeStart, JointSelection, PhysicsModel
from ksim.terms.parts.checks import Range, check_range
from ksim.terms.parts.lookup import Names
from ksim.terms.resets.base import Reset
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointPositionReset(Reset):
    """Moves each joint by a random offset, within the joint's limits.

    Attributes:
      joints: the joints.
      offset_range: angle added to each position, rad (m for a slide); drawn uniformly for each.
    """

    joints: JointSelection
    offset_range: Range = (-0.1, 0.1)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        offset_range: Range = (-0.1, 0.1),
    ) -> "JointPositionReset":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `joints` are by default all hinges and slides.

        Raises:
          KeyError: if a joint does not exist.
          ValueError: if the range is not in ascending order.
        """
        return cls(joints=model.joints.select(joints, cls.__name__), offset_range=offset_range)

    def __post_init__(self) -> None:
        check_range(self, "offset_range", (-0.1, 0.1))

    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the start with other joint positions."""
        del level
        positions = self.joints.positions(start.qpos)
        positions = positions + _draw(key, positions, self.offset_range)
        lower = jnp.asarray(self.joints.lower, positions.dtype)
        upper = jnp.asarray(self.joints.upper, positions.dtype)
        qpos = self.joints.set_positions(start.qpos, jnp.clip(positions, lower, upper))
        return EpisodeStart(qpos=qpos, qvel=start.qvel), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointVelocityReset(Reset):
    """Adds a random velocity to each joint.

    Attributes:
      joints: the joints.
      velocity_range: velocity added to each joint's, rad/s (m/s for a slide); drawn uniformly for
        each.
    """

    joints: JointSelection
    velocity_range: Range = (-0.5, 0.5)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        velocity_range: Range = (-0.5, 0.5),
    ) -> "JointVelocityReset":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `joints` are by default all hinges and slides.

        Raises:
          KeyError: if a joint does not exist.
          ValueError: if the range is not in ascending order.
        """
        selection = model.joints.select(joints, cls.__name__)
        return cls(joints=selection, velocity_range=velocity_range)

    def __post_init__(self) -> None:
        check_range(self, "velocity_range", (-0.5, 0.5))

    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the start with other joint velocities."""
        del level
        velocities = self.joints.velocities(start.qvel)
        velocities = velocities + _draw(key, velocities, self.velocity_range)
        qvel = self.joints.set_velocities(start.qvel, velocities)
        return EpisodeStart(qpos=start.qpos, qvel=qvel), carry


def _draw(key: Key[Array, ""], like: Float[Array, "n"], limits: Range) -> Float[Array, "n"]:
    lower, upper = limits
    return jax.random.uniform(key, like.shape, like.dtype, minval=lower, maxval=upper)
