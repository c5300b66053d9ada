"""The shape of rewards that are 1 for a perfect match."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def squared_exponential(squared_error: Float[Array, ""], sigma: float) -> Float[Array, ""]:
    """Returns exp(-error^2 / sigma^2), in (0, 1]: 1 without error, 0.37 for an error of sigma."""
    return jnp.exp(-squared_error / sigma**2)
