"""Resets of the base's heading, height and velocity."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.physics import EpisodeStart, FreeJoint, PhysicsModel
from ksim.physics.rotation import from_yaw, multiply, rotate
from ksim.terms.parts.checks import Range, check_not_negative, check_range
from ksim.terms.resets.base import Reset
from ksim.terms.term import Carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadingReset(Reset):
    """Turns the robot about the vertical axis through its base by a random angle.

    Its posture stays, and a velocity that it already has turns with it.

    Attributes:
      base: the free joint of the base.
      yaw_range: the angle, rad; drawn uniformly.
    """

    base: FreeJoint
    yaw_range: Range = (-math.pi, math.pi)

    @classmethod
    def create(
        cls, model: PhysicsModel, *, yaw_range: Range = (-math.pi, math.pi)
    ) -> "HeadingReset":
        """Finds the base; the other argument is the attribute.

        Raises:
          ValueError: if the model has no free joint, or the range is not in ascending order.
        """
        return cls(base=model.joints.require_base(cls.__name__), yaw_range=yaw_range)

    def __post_init__(self) -> None:
        check_range(self, "yaw_range", (-math.pi, math.pi))

    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the start with another heading."""
        del level
        lower, upper = self.yaw_range
        turn = from_yaw(jax.random.uniform(key, minval=lower, maxval=upper))
        turned = multiply(turn, start.qpos[self.base.orientation_slice])
        qpos = start.qpos.at[self.base.orientation_slice].set(turned)
        # The free joint's angular velocity is in the body's frame: it turns along by itself.
        velocity = rotate(turn, start.qvel[self.base.linear_slice])
        qvel = start.qvel.at[self.base.linear_slice].set(velocity)
        return EpisodeStart(qpos=qpos, qvel=qvel), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeightReset(Reset):
    """Raises the robot by a random height.

    Attributes:
      base: the free joint of the base.
      height_range: height added to the base's, m; drawn uniformly.
    """

    base: FreeJoint
    height_range: Range = (0.0, 0.05)

    @classmethod
    def create(cls, model: PhysicsModel, *, height_range: Range = (0.0, 0.05)) -> "HeightReset":
        """Finds the base; the other argument is the attribute.

        Raises:
          ValueError: if the model has no free joint, or the range is not in ascending order.
        """
        return cls(base=model.joints.require_base(cls.__name__), height_range=height_range)

    def __post_init__(self) -> None:
        check_range(self, "height_range", (0.0, 0.05))

    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the start with another height."""
        del level
        lower, upper = self.height_range
        height = jax.random.uniform(key, minval=lower, maxval=upper)
        qpos = start.qpos.at[self.base.qpos_start + 2].add(height)
        return EpisodeStart(qpos=qpos, qvel=start.qvel), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseVelocityReset(Reset):
    """Adds a random horizontal velocity to the base.

    Attributes:
      base: the free joint of the base.
      max_speed: largest velocity added along x and along y, m/s, >= 0; drawn uniformly for each.
    """

    base: FreeJoint
    max_speed: float = 0.5

    @classmethod
    def create(cls, model: PhysicsModel, *, max_speed: float = 0.5) -> "BaseVelocityReset":
        """Finds the base; the other argument is the attribute.

        Raises:
          ValueError: if the model has no free joint, or the speed is negative.
        """
        return cls(base=model.joints.require_base(cls.__name__), max_speed=max_speed)

    def __post_init__(self) -> None:
        check_not_negative(self, "max_speed", 0.5)

    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the start with the base in motion."""
        del level
        xy = jax.random.uniform(key, (2,), minval=-self.max_speed, maxval=self.max_speed)
        push = jnp.concatenate([xy, jnp.zeros(1)])
        qvel = start.qvel.at[self.base.linear_slice].add(push)
        return EpisodeStart(qpos=start.qpos, qvel=qvel), carry
