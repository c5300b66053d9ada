"""The contract of terminations."""

from abc import abstractmethod

from jaxtyping import Array, Bool

from ksim.terms.term import Carry, StepState, Term


class Termination(Term):
    """A reason for an episode to end."""

    @property
    def is_time_out(self) -> bool:
        """True if the episode ends without having failed.

        After a failure nothing more is to be gained; after a time-out the return goes on with the
        value of the final observation.
        """
        return False

    @abstractmethod
    def __call__(self, state: StepState, carry: Carry) -> tuple[Bool[Array, ""], Carry]:
        """Returns whether the episode ends with this step."""
