"""Scenarios: runs that do not exist yet."""

import dataclasses
from dataclasses import dataclass

from ksim.config import ConfigError
from ksim.config.concerns import COMPRESSIONS
from ksim.planning.cost_model import Cost, CostModel, Network
from ksim.training.workload import Workload


@dataclass(frozen=True)
class Scenario:
    """Changes a measured run: its devices, its environments, its network.

    Attributes:
      base: the workload of the measured run.
      network: the network over which devices communicate.
      device_speed: the speed of a device, relative to a measured one.
      is_weak: whether environments are added with devices, or split among them.
      envs_per_device: environments on each device, or on one that is alone; by default those of the
        measured run.
      grad_sync_period: updates from one synchronisation to the next; by default as measured.
      grad_compression: compression of gradients; by default as measured.
    """

    base: Workload
    network: Network
    device_speed: float = 1.0
    is_weak: bool = True
    envs_per_device: int | None = None
    grad_sync_period: int | None = None
    grad_compression: str | None = None

    def __post_init__(self) -> None:
        if self.grad_compression not in (None, *COMPRESSIONS):
            raise ConfigError(
                f"grad_compression={self.grad_compression}: write one of {', '.join(COMPRESSIONS)}."
            )

    def workload(self, num_devices: int) -> Workload:
        """Returns the work of an iteration on a number of devices, each with a core of its own.

        Devices that share parameters do so in groups as large as those of the measured run; fewer
        devices than such a group has are one group.

        Raises:
          ConfigError: if environments cannot be split among them, or they do not make whole groups.
        """
        base = self.base
        envs = self.envs_per_device or base.num_envs // base.num_devices
        num_envs = envs * (num_devices if self.is_weak else base.num_devices)
        if num_envs < num_devices:
            raise ConfigError(
                f"{num_envs} environments cannot be split among {num_devices} devices. Write"
                f" --scaling weak, or --envs-per-device {-(-num_devices // base.num_devices)}."
            )
        traffic = base.traffic
        if traffic is not None:
            fsdp_devices = min(traffic.fsdp_devices, num_devices)
            if num_devices % fsdp_devices:
                below = num_devices // fsdp_devices * fsdp_devices
                raise ConfigError(
                    f"{num_devices} devices are no whole number of groups of {fsdp_devices}, as"
                    f" which they share parameters (fsdp_devices={fsdp_devices} in the measured"
                    f" run). Write --devices {below} {below + fsdp_devices}, for example."
                )
            traffic = dataclasses.replace(
                traffic,
                fsdp_devices=fsdp_devices,
                period=self.grad_sync_period or traffic.period,
                compression=self.grad_compression or traffic.compression,
            )
        samples = base.num_samples
        return dataclasses.replace(
            base,
            num_devices=num_devices,
            devices_on_host=num_devices,
            cores_on_host=num_devices,
            num_envs=num_envs,
            num_samples=None if samples is None else samples * num_envs // base.num_envs,
            traffic=traffic,
            collectives=self.network.collectives(num_devices),
        )

    def cost(self, model: CostModel, num_devices: int) -> Cost:
        """Returns the cost of an iteration on a number of devices."""
        cost = model.predict(self.workload(num_devices))
        return dataclasses.replace(
            cost,
            rollout_seconds=cost.rollout_seconds / self.device_speed,
            learning_seconds=cost.learning_seconds / self.device_speed,
        )

    def efficiency(self, model: CostModel, num_devices: int) -> float:
        """Returns the speed as a share of N times that of one device.

        With weak scaling the one device has as many environments as each has; otherwise all.
        """
        alone = self.cost(model, 1).env_steps_per_second
        return self.cost(model, num_devices).env_steps_per_second / (num_devices * alone)
