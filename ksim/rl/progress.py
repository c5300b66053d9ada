"""What the updates of an iteration hand on to one another."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ksim.rl.algorithm import Learner


@struct.dataclass
class Pending:
    """Gradients that wait for the optimizer.

    Attributes:
      total: their sum, like the parameters.
      count: `[]` how many.
    """

    total: Any
    count: Float[Array, ""]

    def add(self, gradients: Any) -> "Pending":
        """Returns the sum with these gradients."""
        return Pending(jax.tree.map(jnp.add, self.total, gradients), self.count + 1)

    def mean(self) -> Any:
        """Returns the mean of the gradients."""
        return jax.tree.map(lambda leaf: leaf / self.count.astype(leaf.dtype), self.total)

    def emptied(self) -> "Pending":
        """Returns no gradients."""
        return jax.tree.map(jnp.zeros_like, self)


@struct.dataclass
class Turn:
    """Where an update stands in its iteration.

    Attributes:
      index: `[]` int32 its number, from 0.
      is_synchronising: `[]` whether devices agree on it.
      is_last: `[]` whether it is the last one.
      has_moved: `[]` whether the policy has taken a step in the iteration before it.
      iteration: `[]` int32 the iteration, the same for all its updates.
    """

    index: Int[Array, ""]
    is_synchronising: Bool[Array, ""]
    is_last: Bool[Array, ""]
    has_moved: Bool[Array, ""]
    iteration: Int[Array, ""]


@struct.dataclass
class Progress:
    """What the updates of an iteration hand on.

    Attributes:
      learner: as the last one left it.
      pending: gradients that wait; `None` if none ever do.
      errors: what compression has taken from this device's gradients; `()` without it.
    """

    learner: Learner
    pending: Pending | None
    errors: Any
