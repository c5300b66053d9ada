"""The clock that legs walk by."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.terms.term import StepState


def leg_phases(
    state: StepState, period: float, offsets: tuple[float, ...]
) -> Float[Array, "num_legs"]:
    """Returns the phase of each leg in its stride, in [0, 1): (t / period + offset) mod 1.

    Args:
      state: the state to read the time of the episode from.
      period: duration of one stride, s.
      offsets: part of a stride by which each leg is ahead of the clock.
    """
    return jnp.mod(state.time / period + jnp.asarray(offsets, state.time.dtype), 1.0)


def resolve_offsets(
    offsets: Sequence[float] | None, num_legs: int, asked_by: str
) -> tuple[float, ...]:
    """Returns the offset of each leg; by default leg i of n is i / n of a stride ahead.

    Raises:
      ValueError: if there are more or fewer offsets than legs.
    """
    if offsets is None:
        return tuple(leg / num_legs for leg in range(num_legs))
    if len(offsets) != num_legs:
        raise ValueError(
            f"{asked_by}(phase_offsets={tuple(offsets)}): {len(offsets)} offsets for {num_legs}"
            " legs. Give each leg one: with (0.0, 0.5, 0.5, 0.0), for instance, the first and the"
            " last of four step together."
        )
    return tuple(map(float, offsets))
