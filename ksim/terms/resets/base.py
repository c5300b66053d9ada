"""The contract of resets."""

from abc import abstractmethod

from jaxtyping import Array, Float, Key

from ksim.physics import EpisodeStart
from ksim.terms.term import Carry, Term


class Reset(Term):
    """Changes the state in which an episode begins; several are applied in their order."""

    @abstractmethod
    def __call__(
        self, start: EpisodeStart, level: Float[Array, ""], carry: Carry, key: Key[Array, ""]
    ) -> tuple[EpisodeStart, Carry]:
        """Returns the changed state. The first reset gets the first keyframe, or `qpos0`."""
