"""Schedules and averages gradients and parameters over the devices of a run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from ksim.config import ConfigError
from ksim.config.concerns import SYNC_MODES
from ksim.parallel.averaging.compression import Compression
from ksim.parallel.collectives import AxisName, mean_over_devices
from ksim.parallel.parameter_shards import ParameterShards
from ksim.parallel.replicas import are_replicas_identical, largest_deviation


@dataclasses.dataclass(frozen=True)
class Synchronisation:
    """Averages gradients over the devices, on every update or periodically.

    Gradients are averaged over the devices on every `period`-th update of an iteration and on its
    last one. In between:

    - `local_sgd`: each device follows its own gradient. With a period above 1 a synchronising
      update averages the parameters and the optimizer state too, so that replicas are identical
      after it; with a period of 1 they never differ.
    - `accumulate`: no device moves. Each sums its gradients, and a synchronising update takes
      one optimizer step with their mean over updates and devices. Replicas never differ.

    Devices that share parameters (`shards`) act as one device: they average their gradients on
    every update, whatever the period.

    Attributes:
      axis_name: the device axis, or all axes of a grid of devices.
      period: updates from one synchronisation to the next, at least 1.
      average_gradients: replaces the averaging of gradients over replicas; `None` is
        `jax.lax.pmean`.
      mode: one of `SYNC_MODES`.
      shards: the parameters that the devices of a group share.
      compression: the compression of gradients between replicas.

    Reference:
      Stich 2019, "Local SGD converges fast and communicates little", arXiv:1805.09767.
    """

    axis_name: AxisName
    period: int = 1
    average_gradients: Callable[[Any], Any] | None = None
    mode: str = "local_sgd"
    shards: ParameterShards = dataclasses.field(default_factory=ParameterShards)
    compression: Compression = dataclasses.field(default_factory=Compression)

    def __post_init__(self) -> None:
        if self.period < 1:
            raise ConfigError(
                f"grad_sync_period must be at least 1 (1 averages gradients on every update),"
                f" found {self.period}."
            )
        if self.mode not in SYNC_MODES:
            raise ConfigError(f"sync_mode must be one of {', '.join(SYNC_MODES)}, not {self.mode}.")
        if self.compression.is_on and self.average_gradients is not None:
            raise ConfigError(
                f"grad_compression={self.compression.kind} has nothing to do: the task's"
                " custom_gradient_sync replaces the averaging. Write grad_compression=none, or"
                " remove custom_gradient_sync."
            )

    @property
    def is_every_update(self) -> bool:
        """True if every update synchronises."""
        return self.period == 1

    @property
    def is_accumulating(self) -> bool:
        """True if updates that do not synchronise only sum gradients."""
        return self.mode == "accumulate" and not self.is_every_update

    @property
    def may_drift(self) -> bool:
        """True if replicas differ between two synchronisations."""
        return not self.is_every_update and not self.is_accumulating

    @property
    def replica_axis_name(self) -> AxisName:
        """The axes over the devices that hold the same parameters."""
        if self.shards.axis_name is None or isinstance(self.axis_name, str):
            return self.axis_name
        return tuple(name for name in self.axis_name if name != self.shards.axis_name)

    def schedule(self, num_updates: int) -> Bool[Array, "num_updates"]:
        """Returns a mask of the updates of an iteration that synchronise, the last one always."""
        update = jnp.arange(1, num_updates + 1)
        return (update % self.period == 0) | (update == num_updates)

    def first_step(self, num_updates: int) -> int:
        """Returns the update, counted from 0, of an iteration's first optimizer step."""
        return min(self.period, num_updates) - 1 if self.is_accumulating else 0

    def initial_residuals(self, parameters: Any) -> Any:
        """Returns the residuals of compression before the first update; `()` without it."""
        if not self.compression.is_on:
            return ()
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), parameters)

    def agree(
        self, gradients: Any, measured: Any, residuals: Any, is_last: Bool[Array, ""]
    ) -> tuple[Any, Any, Any]:
        """Returns the gradients that all devices follow.

        A barrier keeps the averaging apart from what is compiled after it: an optimizer then rounds
        in the same way whatever averaged, so that equal means lead to equal bits.

        Args:
          gradients: the gradients of this device.
          measured: numbers of this device that steer the update, like the divergence.
          residuals: the residuals of compression of this device.
          is_last: whether this is the last update of an iteration.

        Returns:
          The gradients, averaged over replicas, compressed, or replaced; the mean of the measured
          numbers over all devices; and the new residuals.
        """
        is_plain = self.average_gradients is None and not self.compression.is_on
        if is_plain and self.replica_axis_name == self.axis_name:  # one message
            gradients, measured = mean_over_devices((gradients, measured), self.axis_name)
        else:
            measured = mean_over_devices(measured, self.axis_name)
            if self.compression.is_on:
                gradients, residuals = self.compression.mean(
                    gradients, residuals, is_last, self.replica_axis_name
                )
            elif self.average_gradients is not None:
                gradients = self.average_gradients(gradients)
            else:
                gradients = mean_over_devices(gradients, self.replica_axis_name)
        gradients, measured = lax.optimization_barrier((gradients, measured))
        return gradients, measured, residuals

    def drift(self, parameters: Any, mean: Any) -> Float[Array, ""]:
        """Returns the largest difference of a parameter of any replica from the replicas' mean.

        Exactly zero if the replicas are identical, which fingerprints decide: their mean is
        rounded. A few words travel, however many the parameters.

        Args:
          parameters: the parameters of this device.
          mean: their mean over the replicas.
        """
        is_identical = are_replicas_identical(parameters, self.axis_name, self.shards.specs)
        deviation = lax.pmax(largest_deviation(parameters, mean), self.axis_name)
        return jnp.where(is_identical, 0.0, deviation)
