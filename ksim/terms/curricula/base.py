"""The contract of curricula."""

from abc import abstractmethod

from flax import struct
from jaxtyping import Array, Float, Int

from ksim.terms.term import Carry, Term


@struct.dataclass
class TrainingProgress:
    """What a curriculum may read after an iteration, over all devices.

    Attributes:
      iteration: `[]` iterations finished, this one included.
      num_episodes: `[]` episodes that ended in this iteration.
      mean_episode_length_seconds: `[]` their mean length, s; 0 if none ended.
      mean_episode_return: `[]` their mean return; 0 if none ended.
    """

    iteration: Int[Array, ""]
    num_episodes: Float[Array, ""]
    mean_episode_length_seconds: Float[Array, ""]
    mean_episode_return: Float[Array, ""]


class Curriculum(Term):
    """Sets how hard the task is, one level for the whole run."""

    @property
    @abstractmethod
    def initial_level(self) -> float:
        """The level of the first iteration, in [0, 1]."""

    @abstractmethod
    def __call__(self, progress: TrainingProgress, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the level of the next iteration, in [0, 1]. `carry` starts as `init` gave it."""
