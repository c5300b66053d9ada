"""The contract of events."""

from abc import abstractmethod

from jaxtyping import Array, Float, Key

from ksim.terms.term import Carry, StepState, Term


class Event(Term):
    """Disturbs the robot from outside, as a push does.

    The change is felt by all forces in the first physics step after it with native MuJoCo and Warp.
    With MJX, forces that depend on velocities (damping, Coriolis forces) feel it one physics step
    later: there they are computed at the end of the step before.
    """

    @abstractmethod
    def __call__(
        self, state: StepState, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "nv"], Carry]:
        """Returns the change of `qvel` with which the next step begins; zeros for nothing."""
