"""A curriculum that rises with the iterations."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.terms.curricula.base import Curriculum
from ksim.terms.parts.checks import check_fraction, check_positive
from ksim.terms.term import Carry, TrainingProgress


@dataclasses.dataclass(frozen=True)
class LinearCurriculum(Curriculum):
    """Rises evenly from a first level to 1, and stays there.

    level = start + (1 - start) * min(1, iteration / iterations)

    Attributes:
      iterations: number of iterations after which the level is 1, > 0.
      start: level of the first iteration, in [0, 1].
    """

    iterations: int
    start: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self, "iterations", 500)
        check_fraction(self, "start", 0.0)

    @property
    def initial_level(self) -> float:
        """See `Curriculum.initial_level`."""
        return self.start

    def __call__(self, progress: TrainingProgress, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the level of the next iteration."""
        share = jnp.minimum(progress.iteration / self.iterations, 1.0)
        return self.start + (1.0 - self.start) * share, carry
