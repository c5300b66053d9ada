"""What native MuJoCo tells JAX of one simulation."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ksim.config import unknown_name_message
from ksim.physics.data import PhysicsData


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NativeData(PhysicsData):
    """One simulation: its whole state, and those fields of `mjData` that somebody reads.

    The fields are attributes, in single precision, as `PhysicsData` describes them.

    Attributes:
      state: `[2 * size]` uint32, the bits of MuJoCo's integration state: it is in double
        precision, and nothing is lost between two steps.
      fields: what was computed of it, by MuJoCo's name.
    """

    state: Any
    fields: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        """Returns a field; called for names that are no attribute."""
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        if name.startswith("_"):
            raise AttributeError(name)
        message = unknown_name_message(
            name, fields, kind="field", place="in this simulation's data"
        )
        raise AttributeError(f"physics.{name}: {message}")

    def replace(self, **fields: Any) -> "NativeData":
        """Returns a copy with some fields replaced; the next step continues from them."""
        return NativeData(self.state, {**self.fields, **fields})  # type: ignore[abstract]


def is_floating(value: Any) -> bool:
    """Whether something is an array of floating-point numbers."""
    return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)


def state_bits(state: np.ndarray) -> np.ndarray:
    """Returns the bits of states `[..., size]` as JAX carries them, `[..., 2 * size]` uint32."""
    return np.ascontiguousarray(state).view(np.uint32)
