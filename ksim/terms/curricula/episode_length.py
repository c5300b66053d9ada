"""A curriculum that follows how long the robot stays up."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.terms.curricula.base import Curriculum
from ksim.terms.parts.checks import check_fraction, check_not_negative, check_positive
from ksim.terms.term import TrainingProgress


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodeLengthCurriculum(Curriculum):
    """Raises the level while episodes are long and lowers it while they are short.

    After an iteration in which no episode ended, the level stays.

    Attributes:
      raise_above_seconds: mean episode length above which the level rises, s, > 0.
      lower_below_seconds: mean episode length below which it falls, s, >= 0; must not be above
        the former. 0 never lowers it.
      step: change of the level after one iteration, in (0, 1].
      start: level of the first iteration, in [0, 1].
    """

    raise_above_seconds: float
    lower_below_seconds: float = 0.0
    step: float = 0.05
    start: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self, "raise_above_seconds", 10.0)
        check_not_negative(self, "lower_below_seconds", 0.0)
        check_positive(self, "step", 0.05)
        check_fraction(self, "step", 0.05)
        check_fraction(self, "start", 0.0)
        if self.lower_below_seconds > self.raise_above_seconds:
            raise ValueError(
                f"{type(self).__name__}: lower_below_seconds ({self.lower_below_seconds:g} s) must"
                f" not be above raise_above_seconds ({self.raise_above_seconds:g} s)."
                f" Write lower_below_seconds={self.raise_above_seconds / 2:g}, for instance."
            )

    @property
    def initial_level(self) -> float:
        """See `Curriculum.initial_level`."""
        return self.start

    def init(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Returns the first level; the memory is the level."""
        del key
        return jnp.full((), self.start)

    def __call__(
        self, progress: TrainingProgress, carry: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Returns the level of the next iteration, twice: it is also the memory."""
        length = progress.mean_episode_length_seconds
        has_episodes = progress.num_episodes > 0
        is_raised = has_episodes & (length > self.raise_above_seconds)
        is_lowered = has_episodes & (length < self.lower_below_seconds)
        change = jnp.where(is_raised, self.step, 0.0) - jnp.where(is_lowered, self.step, 0.0)
        level = jnp.clip(carry + change, 0.0, 1.0)
        return level, level
