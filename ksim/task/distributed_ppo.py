"""PPO on several devices."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ksim.task.distributed_rl import DistributedRLConfig, DistributedRLTask
from ksim.task.ppo import PPOConfig, PPOTask
from ksim.task.rl import RLConfig

if TYPE_CHECKING:
    from ksim.parallel import Synchronisation


@dataclass
class DistributedPPOConfig(DistributedRLConfig, PPOConfig):
    """Options of a task that learns by PPO on several devices."""


ConfigT = TypeVar("ConfigT", bound=DistributedPPOConfig)


class DistributedPPOTask(DistributedRLTask[ConfigT], PPOTask[ConfigT], Generic[ConfigT]):
    """PPO whose rollout, advantages and loss are per device, and whose gradients are averaged.

    A subclass may define `custom_gradient_sync(self, grads)`. It then replaces the averaging of
    gradients, inside the per-device program, where `jax.lax` collectives over `pmap_axis_name`
    work; it must return the same gradients on every device. (A `jax.pmap` written around it is
    taken off, since the program is mapped already.) With `fsdp_devices` above 1 it is given the
    mean over a group of devices that share parameters, of large parameters one shard, and
    `pmap_axis_name` is the axis over the groups.
    """

    config_class: ClassVar[type[RLConfig]] = DistributedPPOConfig

    def get_synchronisation(self) -> Synchronisation:
        """Returns when and how devices agree, as the options say."""
        import jax

        from ksim.parallel import Compression, ParameterShards, Synchronisation

        shards = ParameterShards()
        if self.partitioner.group_size > 1:
            parameters = jax.eval_shape(lambda: self._get_initial_model(jax.random.key(0)))
            shards = self.partitioner.parameter_shards(parameters)
        return Synchronisation(
            axis_name=self.partitioner.axis_name,
            period=self.config.grad_sync_period,
            average_gradients=self._custom_gradient_sync(),
            mode=self.config.sync_mode,
            shards=shards,
            compression=Compression(self.config.grad_compression),
        )

    def _custom_gradient_sync(self) -> Callable[[Any], Any] | None:
        hook = getattr(type(self), "custom_gradient_sync", None)
        if hook is None:
            return None
        return functools.partial(inspect.unwrap(hook), self)
