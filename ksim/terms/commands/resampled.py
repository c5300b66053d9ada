"""Commands that are held for a while and then drawn again."""

import dataclasses
from abc import abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.terms.commands.base import Command
from ksim.terms.parts.checks import Range, check_fraction, check_positive, check_range
from ksim.terms.term import StepState

ResampledCarry = tuple[Float[Array, "size"], Float[Array, "size"], Float[Array, ""]]
"""The target drawn, the command on its way there, and the seconds for which the target holds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResampledCommand(Command):
    """Draws a command at the start of an episode and again after random intervals.

    Attributes:
      ctrl_dt: control time step, s.
      interval_range: how long a command holds, s, > 0; drawn uniformly.
      zero_probability: probability with which a drawn command is zero, in [0, 1].
      is_scaled_by_level: whether a drawn command is multiplied by the curriculum level of the
        moment.
      max_rate: the fastest change of each number of the command, in its unit per s; an episode then
        begins with a command of zero. A robot that is told to walk at once learns to lunge. `None`
        changes the command at once.
    """

    ctrl_dt: float
    interval_range: Range = (5.0, 10.0)
    zero_probability: float = 0.1
    is_scaled_by_level: bool = False
    max_rate: float | None = None

    def __post_init__(self) -> None:
        check_positive(self, "ctrl_dt", 0.02)
        check_range(self, "interval_range", (5.0, 10.0), at_least=0.0)
        check_fraction(self, "zero_probability", 0.1)
        if self.max_rate is not None:
            check_positive(self, "max_rate", 1.0)

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of values in the command."""

    @abstractmethod
    def draw(self, key: Key[Array, ""]) -> Float[Array, "size"]:
        """Draws a command at full level."""

    def init(self, key: Key[Array, ""]) -> ResampledCarry:
        """Returns a memory whose time is up, so that the first call draws a command."""
        del key
        return jnp.zeros(self.size), jnp.zeros(self.size), jnp.zeros(())

    def __call__(
        self, state: StepState, carry: ResampledCarry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "size"], ResampledCarry]:
        """Returns the command for the next step, a new one if the time of the last is up."""
        target, command, time_left = carry
        draw_key, zero_key, interval_key = jax.random.split(key, 3)
        drawn = self.draw(draw_key)
        if self.is_scaled_by_level:
            drawn = drawn * state.level
        is_zero = jax.random.uniform(zero_key) < self.zero_probability
        drawn = jnp.where(is_zero, 0.0, drawn)
        shortest, longest = self.interval_range
        interval = jax.random.uniform(interval_key, minval=shortest, maxval=longest)
        is_due = time_left < self.ctrl_dt / 2  # half a step: sums of steps are rounded
        target = jnp.where(is_due, drawn, target)
        command = self._towards(target, command)
        return command, (target, command, jnp.where(is_due, interval, time_left) - self.ctrl_dt)

    def _towards(
        self, target: Float[Array, "size"], command: Float[Array, "size"]
    ) -> Float[Array, "size"]:
        if self.max_rate is None:
            return target
        furthest = self.max_rate * self.ctrl_dt
        return command + jnp.clip(target - command, -furthest, furthest)
