"""The contracts of curricula."""

from abc import abstractmethod
from typing import ClassVar

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from ksim.terms.term import Carry, Term, TrainingProgress


@struct.dataclass
class EpisodeResult:
    """Outcome of an episode of one environment, for any world.

    Attributes:
      length_seconds: `[]` its length, s.
      episode_return: `[]` sum of its rewards.
      is_terminated: `[]` true if it failed (or reached its goal); else it timed out.
    """

    length_seconds: Float[Array, ""]
    episode_return: Float[Array, ""]
    is_terminated: Bool[Array, ""]


class Curriculum(Term):
    """Sets how hard the task is: one level for the whole run.

    A level of its own for each environment is set by an `EnvironmentCurriculum`.
    """

    is_per_environment: ClassVar[bool] = False

    @property
    @abstractmethod
    def initial_level(self) -> float:
        """The level of the first iteration, in [0, 1]."""

    @abstractmethod
    def __call__(self, progress: TrainingProgress, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the level of the next iteration, in [0, 1]. `carry` starts as `init` gave it."""

    def next_level(self, level: Float[Array, ""], episode: EpisodeResult) -> Float[Array, ""]:
        """Returns the level of an environment after an episode; unchanged if the run sets it."""
        del episode
        return level


class EnvironmentCurriculum(Curriculum):
    """Sets how hard the task is in each environment, by the outcomes of its own episodes.

    The level of the run is the mean over the environments: it is logged, and evaluations and films
    are at that level. A task that overrides `_rollout` must give its `curriculum` to
    `ksim.rl.rollout`, which moves the levels on.
    """

    is_per_environment: ClassVar[bool] = True

    @abstractmethod
    def next_level(self, level: Float[Array, ""], episode: EpisodeResult) -> Float[Array, ""]:
        """Returns the level of one environment, in [0, 1], after an episode at `level`."""

    def __call__(self, progress: TrainingProgress, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the mean level of the environments."""
        return jnp.asarray(progress.mean_level), carry
