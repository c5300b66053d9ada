"""Random factors on parts of a model field."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ksim.terms.checks import Range
from ksim.xla.rows import replace_rows


def draw_factors(key: Key[Array, ""], count: int, scale_range: Range) -> Float[Array, "count"]:
    """Draws independent factors from a range, uniformly."""
    lower, upper = scale_range
    return jax.random.uniform(key, (count,), minval=lower, maxval=upper)


def scale_rows(values: Array, rows: tuple[int, ...], factors: Float[Array, "rows"]) -> Array:
    """Returns a model field with some rows multiplied by a factor each.

    Args:
      values: `[n]` or `[n, columns]` the field.
      rows: which rows.
      factors: `[rows]` one for each.
    """
    factor_of_row = replace_rows(jnp.ones(values.shape[0]), rows, factors)
    return values * factor_of_row.reshape(-1, *(1,) * (values.ndim - 1))
