"""Actions, commands and the clock, as the policy itself knows them."""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.terms.observations.base import NoisyObservation
from ksim.terms.parts.checks import check_positive
from ksim.terms.parts.command_values import read_command
from ksim.terms.term import StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class LastActionObservation(NoisyObservation):
    """Last action: `[action_size]`, in the action's unit; zeros at the start of an episode."""

    def observe(self, state: StepState) -> Float[Array, "action_size"]:
        """Returns the action that led to the state."""
        return state.action


@dataclasses.dataclass(frozen=True)
class CommandObservation(NoisyObservation):
    """Command for the next step: `[size]`, in the command's unit.

    Attributes:
      command: the name of the command.
    """

    command: str

    def observe(self, state: StepState) -> Float[Array, "size"]:
        """Returns the command.

        Raises:
          KeyError: if the task has no such command.
        """
        return read_command(state, self.command, type(self).__name__)


@dataclasses.dataclass(frozen=True)
class PhaseObservation(NoisyObservation):
    """Phase of a clock to walk by: `[2]`, sine and cosine of 2 pi t / period.

    `GaitPhaseReward` with the same period expects the first foot on the ground from phase 0 on.

    Attributes:
      period: duration of one stride (two steps), s, > 0.
    """

    period: float

    def __post_init__(self) -> None:
        check_positive(self, "period", 0.8)

    def observe(self, state: StepState) -> Float[Array, "2"]:
        """Returns sine and cosine of the phase."""
        phase = 2 * math.pi * jnp.mod(state.time / self.period, 1.0)
        return jnp.stack([jnp.sin(phase), jnp.cos(phase)])
