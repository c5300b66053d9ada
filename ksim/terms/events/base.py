"""The contract of events."""

from abc import abstractmethod

from jaxtyping import Array, Float, Key

from ksim.terms.term import Carry, StepState, Term


class Event(Term):
    """Something that happens to the robot from outside, such as a push."""

    @abstractmethod
    def __call__(
        self, state: StepState, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "nv"], Carry]:
        """Returns the change of `qvel` with which the next step begins; zeros for nothing."""
