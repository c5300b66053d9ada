"""Termination when the time of an episode is up."""

import dataclasses

from jaxtyping import Array, Bool

from ksim.terms.parts.checks import check_positive
from ksim.terms.term import Carry, StepState
from ksim.terms.terminations.base import Termination

_ROUNDING = 1e-6
"""Relative. A time is a number of steps times a time step in single precision: exact to 1.2e-7."""


@dataclasses.dataclass(frozen=True)
class TimeOutTermination(Termination):
    """Ends an episode after a time; not a failure.

    Attributes:
      seconds: length of an episode, s, > 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        check_positive(self, "seconds", 20.0)

    @property
    def is_time_out(self) -> bool:
        """Always true."""
        return True

    def __call__(self, state: StepState, carry: Carry) -> tuple[Bool[Array, ""], Carry]:
        """Returns whether the time is up."""
        return state.time >= self.seconds * (1.0 - _ROUNDING), carry
