"""The contract of commands."""

from abc import abstractmethod

from jaxtyping import Array, Float, Key

from ksim.terms.term import Carry, StepState, Term


class Command(Term):
    """Tells the robot what to do; observations show it and rewards measure against it."""

    @abstractmethod
    def __call__(
        self, state: StepState, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "size"], Carry]:
        """Returns the command for the next step.

        Called once after every step, and at the start of an episode with a fresh carry, on which
        the first command is drawn. `state.commands` holds the commands so far.
        """
