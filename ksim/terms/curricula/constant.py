"""A curriculum that does not change."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.terms.curricula.base import Curriculum
from ksim.terms.parts.checks import check_fraction
from ksim.terms.term import Carry, TrainingProgress


@dataclasses.dataclass(frozen=True)
class ConstantCurriculum(Curriculum):
    """Keeps the same level for the whole run.

    Attributes:
      level: the level, in [0, 1].
    """

    level: float = 1.0

    def __post_init__(self) -> None:
        check_fraction(self, "level", 1.0)

    @property
    def initial_level(self) -> float:
        """See `Curriculum.initial_level`."""
        return self.level

    def __call__(self, progress: TrainingProgress, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the level."""
        del progress
        return jnp.full((), self.level), carry
