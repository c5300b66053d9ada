"""Commands to walk and to turn."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.physics import PhysicsModel
from ksim.terms.commands.resampled import ResampledCommand
from ksim.terms.parts.checks import Range, check_range


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearVelocityCommand(ResampledCommand):
    """Tells the robot how fast to walk: `[2]`, m/s, forward and to its left.

    The command is meant in the heading frame: the robot's frame without tilt.

    Attributes:
      x_range: forward velocity, m/s; drawn uniformly.
      y_range: velocity to the left, m/s; drawn uniformly.
    """

    x_range: Range = (-0.5, 1.0)
    y_range: Range = (-0.3, 0.3)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        *,
        x_range: Range = (-0.5, 1.0),
        y_range: Range = (-0.3, 0.3),
        interval_range: Range = (5.0, 10.0),
        zero_probability: float = 0.1,
        is_scaled_by_level: bool = False,
        max_rate: float | None = None,
    ) -> "LinearVelocityCommand":
        """Takes the time step from the model; the other arguments are the attributes.

        Raises:
          ValueError: if a range is not in ascending order or a number is out of bounds.
        """
        return cls(
            ctrl_dt=model.ctrl_dt,
            x_range=x_range,
            y_range=y_range,
            interval_range=interval_range,
            zero_probability=zero_probability,
            is_scaled_by_level=is_scaled_by_level,
            max_rate=max_rate,
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "x_range", (-0.5, 1.0))
        check_range(self, "y_range", (-0.3, 0.3))

    @property
    def size(self) -> int:
        """Forward and to the left: 2."""
        return 2

    def draw(self, key: Key[Array, ""]) -> Float[Array, "2"]:
        """Draws a velocity from the ranges."""
        lower, upper = jnp.asarray([self.x_range, self.y_range]).T
        return jax.random.uniform(key, (2,), minval=lower, maxval=upper)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AngularVelocityCommand(ResampledCommand):
    """Tells the robot how fast to turn to its left: `[1]`, rad/s about the vertical axis.

    Attributes:
      yaw_range: rate of turn, rad/s; drawn uniformly.
    """

    yaw_range: Range = (-0.5, 0.5)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        *,
        yaw_range: Range = (-0.5, 0.5),
        interval_range: Range = (5.0, 10.0),
        zero_probability: float = 0.1,
        is_scaled_by_level: bool = False,
        max_rate: float | None = None,
    ) -> "AngularVelocityCommand":
        """Takes the time step from the model; the other arguments are the attributes.

        Raises:
          ValueError: if a range is not in ascending order or a number is out of bounds.
        """
        return cls(
            ctrl_dt=model.ctrl_dt,
            yaw_range=yaw_range,
            interval_range=interval_range,
            zero_probability=zero_probability,
            is_scaled_by_level=is_scaled_by_level,
            max_rate=max_rate,
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "yaw_range", (-0.5, 0.5))

    @property
    def size(self) -> int:
        """The rate of turn: 1."""
        return 1

    def draw(self, key: Key[Array, ""]) -> Float[Array, "1"]:
        """Draws a rate of turn from the range."""
        lower, upper = self.yaw_range
        return jax.random.uniform(key, (1,), minval=lower, maxval=upper)
