"""Data of one native simulation, as JAX carries it."""

import dataclasses
from typing import Any

import jax
import numpy as np

from ksim.physics.data import NamedFields


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NativeData(NamedFields):
    """One simulation: its whole state, and the fields of `mjData` that are read.

    Attributes:
      state: `[2 * size]` uint32, the bits of MuJoCo's integration state: it is in double
        precision, and nothing is lost between two steps.
    """

    state: Any


def state_bits(state: np.ndarray) -> np.ndarray:
    """Returns the bits of states `[..., size]` as JAX carries them, `[..., 2 * size]` uint32."""
    return np.ascontiguousarray(state).view(np.uint32)
