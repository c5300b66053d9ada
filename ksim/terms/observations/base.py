"""The contract of observations."""

from abc import abstractmethod

from jaxtyping import Array, Float, Key

from ksim.terms.term import Carry, StepState, Term


class Observation(Term):
    """What a sensor of the robot, or the critic, sees."""

    @abstractmethod
    def __call__(
        self, state: StepState, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "size"], Carry]:
        """Returns the observed values, as a vector. The key is for noise."""
