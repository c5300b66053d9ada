"""The contract of physics randomizers, and random factors on rows of a field."""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.physics import ModelFields
from ksim.terms.parts.checks import Range
from ksim.terms.term import Carry, Term
from ksim.xla.rows import replace_rows


class Randomizer(Term):
    """Draws physical properties of the robot or the world, anew for every episode."""

    @property
    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """The model fields that it changes, by MuJoCo's names."""

    @abstractmethod
    def __call__(
        self, model: ModelFields, carry: Carry, key: Key[Array, ""]
    ) -> tuple[dict[str, Array], Carry]:
        """Returns new values for `fields`.

        Args:
          model: the values of all randomized fields so far, by name; a randomizer changes what it
            finds, so that several compose in their order.
          carry: its memory.
          key: the key of this episode's draw.
        """


def draw_factors(key: Key[Array, ""], count: int, scale_range: Range) -> Float[Array, "count"]:
    """Draws independent factors from a range, uniformly."""
    lower, upper = scale_range
    return jax.random.uniform(key, (count,), minval=lower, maxval=upper)


def scale_rows(values: Array, rows: tuple[int, ...], factors: Float[Array, "rows"]) -> Array:
    """Returns a model field with some rows multiplied by a factor each.

    Args:
      values: `[n]` or `[n, columns]` the field.
      rows: indices of the rows to multiply.
      factors: `[rows]` one for each.
    """
    factor_of_row = replace_rows(jnp.ones(values.shape[0]), rows, factors)
    return values * factor_of_row.reshape(-1, *(1,) * (values.ndim - 1))
