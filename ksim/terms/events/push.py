"""Pushes from outside."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.physics import FreeJoint, PhysicsModel
from ksim.terms.events.base import Event
from ksim.terms.parts.checks import Range, check_positive, check_range
from ksim.terms.term import StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class PushEvent(Event):
    """Gives the base a sudden horizontal velocity after random intervals.

    Direction and speed are drawn uniformly. The memory is the time until the next push, s.

    Attributes:
      base: the free joint of the base.
      ctrl_dt: control time step, s.
      max_speed: largest change of velocity, m/s, > 0.
      interval_range: time between pushes and before the first one, s, >= 0; drawn uniformly.
      is_scaled_by_level: whether a push is multiplied by the curriculum level.
    """

    base: FreeJoint
    ctrl_dt: float
    max_speed: float = 0.5
    interval_range: Range = (5.0, 10.0)
    is_scaled_by_level: bool = False

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        *,
        max_speed: float = 0.5,
        interval_range: Range = (5.0, 10.0),
        is_scaled_by_level: bool = False,
    ) -> "PushEvent":
        """Finds the base; the other arguments are the attributes.

        Raises:
          ValueError: if the model has no free joint, or a number is out of bounds.
        """
        return cls(
            base=model.joints.require_base(cls.__name__),
            ctrl_dt=model.ctrl_dt,
            max_speed=max_speed,
            interval_range=interval_range,
            is_scaled_by_level=is_scaled_by_level,
        )

    def __post_init__(self) -> None:
        check_positive(self, "ctrl_dt", 0.02)
        check_positive(self, "max_speed", 0.5)
        check_range(self, "interval_range", (5.0, 10.0), at_least=0.0)

    def init(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Draws the time until the first push, s."""
        return self._draw_interval(key)

    def __call__(
        self, state: StepState, carry: Float[Array, ""], key: Key[Array, ""]
    ) -> tuple[Float[Array, "nv"], Float[Array, ""]]:
        """Returns the push as a change of `qvel`; zeros while none is due."""
        direction_key, speed_key, interval_key = jax.random.split(key, 3)
        time_left = carry - self.ctrl_dt
        is_due = time_left < self.ctrl_dt / 2  # half a step: sums of steps are rounded
        speed = jax.random.uniform(speed_key, maxval=self.max_speed)
        if self.is_scaled_by_level:
            speed = speed * state.level
        direction = jax.random.uniform(direction_key, maxval=2 * math.pi)
        push = speed * jnp.stack([jnp.cos(direction), jnp.sin(direction), jnp.zeros(())])
        change = jnp.zeros_like(state.physics.qvel)
        change = change.at[self.base.linear_slice].set(jnp.where(is_due, push, 0.0))
        return change, jnp.where(is_due, self._draw_interval(interval_key), time_left)

    def _draw_interval(self, key: Key[Array, ""]) -> Float[Array, ""]:
        shortest, longest = self.interval_range
        return jax.random.uniform(key, minval=shortest, maxval=longest)
