"""When and how the devices of a run agree on their parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from ksim.config import ConfigError


@dataclasses.dataclass(frozen=True)
class Synchronisation:
    """Local SGD with a period.

    Gradients are averaged over the devices on every `period`-th update of an iteration and on its
    last one; in between each device follows its own gradient. With a period above 1 a
    synchronising update averages the parameters and the optimizer state too, so that replicas are
    identical after it; with a period of 1 they never differ.

    Attributes:
      axis_name: the device axis.
      period: updates from one synchronisation to the next, at least 1.
      average_gradients: replaces the averaging of gradients; `None` is `jax.lax.pmean`.

    Reference:
      Stich 2019, "Local SGD converges fast and communicates little", arXiv:1805.09767.
    """

    axis_name: str
    period: int = 1
    average_gradients: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.period < 1:
            raise ConfigError(
                f"grad_sync_period must be at least 1 (1 averages gradients on every update),"
                f" found {self.period}."
            )

    @property
    def is_every_update(self) -> bool:
        """Whether replicas agree after every update, so that none can drift."""
        return self.period == 1

    def schedule(self, num_updates: int) -> Bool[Array, "num_updates"]:
        """Returns which of the updates of an iteration synchronise; the last one always does."""
        update = jnp.arange(1, num_updates + 1)
        return (update % self.period == 0) | (update == num_updates)

    def gradients(self, gradients: Any) -> Any:
        """Returns gradients averaged over the devices, or what the replacement makes of them."""
        if self.average_gradients is not None:
            return self.average_gradients(gradients)
        return lax.pmean(gradients, self.axis_name)
