"""Tasks on several devices."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ksim.config import ConfigError
from ksim.config.concerns import (
    DevicesConfig,
    ProcessesConfig,
    check_divides,
    check_fsdp_divides,
)
from ksim.task.config import RLConfig
from ksim.task.rl import RLTask

if TYPE_CHECKING:
    from pathlib import Path

    from ksim.parallel import Partitioner, Synchronisation
    from ksim.parallel.processes import ProcessGroup
    from ksim.preflight.verification import Preflight
    from ksim.training.program import Program
    from ksim.training.run import RunResult

logger = logging.getLogger(__name__)

SINGLE_DEVICE_WARNING = (
    "Only 1 device detected. Distributed training will fall back to single-device mode."
)


@dataclass
class DistributedRLConfig(ProcessesConfig, DevicesConfig, RLConfig):
    """Options of a task on several devices."""

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if self.is_num_envs_auto and self.scaling == "weak":
            raise ConfigError(
                "num_envs=auto chooses for all devices together, and scaling=weak counts on one."
                " Write scaling=strong."
            )
        is_total = self.scaling == "strong" and not self.is_num_envs_auto
        if self.num_devices is not None and is_total:
            self.check_devices(self.num_devices)

    def check_devices(self, num_devices: int) -> None:
        """Checks that environments and minibatches split evenly over devices and their groups.

        Raises:
          ConfigError: if they do not, with what to write instead.
        """
        check_divides("Number of environments", "num_envs", self.num_envs, num_devices)
        check_divides("Batch size", "batch_size", self.batch_size, num_devices)
        check_fsdp_divides(self.fsdp_devices, num_devices)


ConfigT = TypeVar("ConfigT", bound=DistributedRLConfig)


class DistributedRLTask(RLTask[ConfigT], Generic[ConfigT]):
    """A task whose environments are split over devices, and whose learner is on all of them.

    Parameters, optimizer state and the rest of `TrainState` are replicated, except the large ones
    that `fsdp_devices` splits; environments are sharded in the order of their global ids. With one
    device this is ordinary single-device training, with the same numbers.
    """

    config_class: ClassVar[type[RLConfig]] = DistributedRLConfig

    custom_gradient_sync: ClassVar[Callable[..., Any] | None] = None
    """Averages gradients over devices in place of ksim; `None` leaves it to the options.

    To use it, define a method `custom_gradient_sync(self, grads)` in a subclass. It runs inside
    the per-device program, where `jax.lax` collectives over `pmap_axis_name` work, and must return
    the same gradients on every device. (A `jax.pmap` around it is taken off: the program is mapped
    already.) With `fsdp_devices` above 1 its gradients are means over a group of devices that
    share parameters, one shard of each large parameter, and `pmap_axis_name` is the axis over the
    groups.
    """

    @functools.cached_property
    def processes(self) -> ProcessGroup:
        """The processes of the run, usually this one alone; reading it first makes them meet.

        Raises:
          ConfigError: if options contradict environment variables, or processes disagree.
          ProcessesError: if the processes do not find each other in time.
        """
        from ksim.parallel.processes import run_facts, start_processes

        return start_processes(
            self.config,
            lambda: run_facts(self.config, (type(self), type(self.config))),
            self.config.num_devices,
        )

    def get_partitioner(self) -> Partitioner:
        """Returns the partitioner of the per-device program, by the option `partitioner`.

        Raises:
          ConfigError: if `partitioner=pmap` and there are several processes.
        """
        from ksim.parallel import Pmap, ShardMap, SingleDevice, select_devices

        config = self.config
        num_processes = self.processes.count  # they meet before JAX starts its devices
        if config.partitioner == "pmap" and num_processes > 1:
            raise ConfigError(
                f"partitioner=pmap runs in one process, and there are {num_processes}."
                " Write partitioner=shard_map, or leave the option out."
            )
        axis_name = config.pmap_axis_name
        devices = select_devices(config.num_devices)
        if len(devices) == 1:
            check_fsdp_divides(config.fsdp_devices, 1)
            logger.warning(SINGLE_DEVICE_WARNING)
            return SingleDevice(devices[0], axis_name)
        if config.partitioner == "pmap" or (
            config.partitioner == "auto" and config.fsdp_devices == 1 and num_processes == 1
        ):
            return Pmap(devices, axis_name)
        return ShardMap(devices, axis_name, config.fsdp_devices, config.fsdp_min_size_mbytes)

    def get_synchronisation(self) -> Synchronisation:
        """Returns the synchronisation of devices that the options describe."""
        import jax

        from ksim.parallel import Compression, ParameterShards, Synchronisation

        shards = ParameterShards()
        if self.partitioner.group_size > 1:
            parameters = jax.eval_shape(lambda: self._get_initial_model(jax.random.key(0)))
            shards = self.partitioner.parameter_shards(parameters)
        hook = type(self).custom_gradient_sync
        return Synchronisation(
            axis_name=self.partitioner.axis_name,
            period=self.config.grad_sync_period,
            average_gradients=hook and functools.partial(inspect.unwrap(hook), self),
            mode=self.config.sync_mode,
            shards=shards,
            compression=Compression(self.config.grad_compression),
        )

    def settle(self) -> None:
        """See `RLTask.settle`; also checks that everything splits evenly over the devices."""
        num_processes = self.processes.count  # they meet before anything is read or written
        if self.config.run_mode == "view" and num_processes > 1:
            raise ConfigError(
                f"run_mode=view shows one window, and there are {num_processes} processes."
                " Start one process."
            )
        super().settle()
        if self.config.scaling == "weak":
            from ksim.task.automatic import settle_weak_scaling

            num_devices = self.partitioner.num_devices
            self.config, notes = settle_weak_scaling(self.config, num_devices)
            self._notes |= notes
        self.config.check_devices(self.partitioner.num_devices)

    def verify_distributed_setup(self, is_thorough: bool = False) -> None:
        """Checks that the task fits the devices, and shows its environments on each of them.

        Args:
          is_thorough: also compiles and tries the task, as `verify_setup` and `run_mode=verify`
            do: memory, speed, communication, random keys.

        Raises:
          ConfigError: if environments or minibatches do not split evenly over the devices, there
            are fewer devices than asked for, or the task fails its trial.
        """
        if is_thorough:
            self.verify_setup()
            return
        from ksim.parallel.processes import failures_reported

        with failures_reported():
            self.settle()
        self._show_setup()

    def verify_setup(self) -> Preflight:
        """See `RLTask.verify_setup`; also shows the environments on each device."""
        from ksim.parallel.processes import failures_reported

        with failures_reported():
            return super().verify_setup()

    def _on_one_device(self) -> Callable[[], Program] | None:
        """See `RLTask._on_one_device`; with as many environments as a device has here."""
        num_devices = self.partitioner.num_devices
        if num_devices == 1 or self.processes.count > 1:
            return None
        config = dataclasses.replace(
            self.config,
            num_devices=1,
            partitioner="auto",
            fsdp_devices=1,
            num_envs=self.config.num_envs // num_devices,
            batch_size=self.config.batch_size // num_devices,
        )
        return lambda: type(self)(config).build()

    def _show_setup(self) -> None:
        """See `RLTask._show_setup`; process 0 shows."""
        if not self.processes.is_main:
            return
        devices = self.partitioner.devices
        envs_per_device = self.config.num_envs // len(devices)
        print(f"{len(devices)} {devices[0].platform} device(s), {devices[0].device_kind}")
        print(f"Total environments: {self.config.num_envs}")
        for index, device in enumerate(devices):
            first = index * envs_per_device
            print(f"Device {index}: environments {first}-{first + envs_per_device - 1}")
            logger.debug("Device %d is %s", index, device)
        print(
            f"Minibatches: {self.config.num_batches} of {self.config.batch_size} environments,"
            f" {self.config.batch_size // len(devices)} on each device;"
            f" gradients are averaged every {self.config.grad_sync_period} update(s)",
            flush=True,
        )

    def run(self) -> RunResult | Preflight | dict[str, float] | Path | None:
        """See `RLTask.run`; a failure ends the other processes too."""
        from ksim.parallel.processes import failures_reported

        with failures_reported():
            return super().run()

    def run_distributed_training(self) -> RunResult:
        """Trains on all devices; the same as `run`."""
        result: Any = self.run()
        return result

    def replicate_state(self, state: Any) -> Any:
        """Copies a pytree of arrays to every device."""
        return self.partitioner.replicate_state(state)

    def shard_environments(self, env_state: Any) -> Any:
        """Splits arrays `[num_envs, ...]` over the devices by their leading axis."""
        return self.partitioner.shard_environments(env_state)
