"""The clock that legs walk by."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ksim.terms.term import StepState


def leg_phases(state: StepState, period: float, num_legs: int) -> Float[Array, "num_legs"]:
    """Returns how far each leg is in its stride, in [0, 1): (t / period + i / n) mod 1.

    Args:
      state: the state to read the time of the episode from.
      period: duration of one stride, s.
      num_legs: how many legs there are; leg i of n is i / n of a stride ahead of the first.
    """
    offsets = jnp.asarray(np.arange(num_legs) / num_legs, state.time.dtype)
    return jnp.mod(state.time / period + offsets, 1.0)
