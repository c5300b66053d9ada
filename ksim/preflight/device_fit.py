"""Checks that every device has memory for its part of a run."""

import dataclasses
from collections.abc import Sequence

from ksim.config import ConfigError
from ksim.preflight.program_memory import ProgramMemory
from ksim.training.program import Program

_TIGHT = 0.9


@dataclasses.dataclass(frozen=True)
class DevicePlace:
    """A device of a run.

    Attributes:
      name: its name in JAX.
      kind: its model, such as `NVIDIA H100`; `cpu` for a CPU.
      host: name of its machine.
      first_env: global id of its first environment.
      num_envs: number of its environments.
      free: bytes free before the run; `None` if unknown.
    """

    name: str
    kind: str
    host: str
    first_env: int
    num_envs: int
    free: int | None


@dataclasses.dataclass(frozen=True)
class DeviceFit:
    """Devices of a run, and the memory that a compiled program takes on each.

    Attributes:
      devices: the devices, in the order of their environments.
      memory: memory of the program on one device.
      num_envs: environments over all devices.
      num_batches: minibatches in a pass.
    """

    devices: tuple[DevicePlace, ...]
    memory: ProgramMemory
    num_envs: int
    num_batches: int = 1

    def check(self) -> None:
        """Raises if a device lacks memory.

        Raises:
          ConfigError: with the options to write instead.
        """
        for index, device in enumerate(self.devices):
            if device.free is not None and self.memory.peak > device.free:
                raise ConfigError(
                    f"The run takes {in_bytes(self.memory.peak)} on each device, and device"
                    f" {index} ({device.name}) has {in_bytes(device.free)} left."
                    f" Write {self._smaller(device.free)}."
                )

    def warnings(self) -> list[str]:
        """Returns likely problems, each with its remedy."""
        found = []
        kinds = sorted({device.kind for device in self.devices})
        if len(kinds) > 1:
            found.append(
                f"The devices are of different kinds: {', '.join(kinds)}. All wait for the slowest."
                " Leave the slower ones out: num_devices takes the first ones, and"
                " CUDA_VISIBLE_DEVICES chooses among GPUs."
            )
        for index, device in enumerate(self.devices):
            if device.free is not None and _TIGHT * device.free < self.memory.peak <= device.free:
                found.append(
                    f"Device {index} has hardly more memory left than the run takes. If it runs out"
                    f" of it, write {self._smaller(device.free)}."
                )
                break
        return found

    def _smaller(self, free: int) -> str:
        """Returns the options of a run that probably takes less than 90% of `free` bytes."""
        step = len(self.devices) * self.num_batches
        # Parameters, their gradients and the optimizer's moments belong to no environment: they
        # do not shrink.
        fixed = min(2 * self.memory.train_state, self.memory.peak)
        share = max(_TIGHT * free - fixed, 0) / max(self.memory.peak - fixed, 1)
        num_envs = int(share * self.num_envs) // step * step
        if num_envs < step:
            return "a smaller rollout_length_seconds or smaller networks"
        return f"num_envs={num_envs} batch_size={num_envs // self.num_batches}"


def device_fit(
    program: Program,
    memory: ProgramMemory,
    free: Sequence[int | None],
    hosts: Sequence[str],
    num_batches: int,
) -> DeviceFit:
    """Returns the devices of a program and its memory on them.

    Args:
      program: the built task.
      memory: memory of the program on one device.
      free: bytes free on each device before the run; `None` if unknown.
      hosts: machine of each process.
      num_batches: minibatches in a pass.
    """
    devices = program.partitioner.devices
    envs_per_device = program.num_envs // len(devices)
    places = tuple(
        DevicePlace(
            name=str(device),
            kind=device.device_kind,
            host=hosts[device.process_index],
            first_env=index * envs_per_device,
            num_envs=envs_per_device,
            free=free[index],
        )
        for index, device in enumerate(devices)
    )
    return DeviceFit(places, memory, program.num_envs, num_batches)


def in_bytes(number: float) -> str:
    """Returns a number of bytes in words: `1.5 GB`, in units of 1000."""
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.5:
            return f"{number:.3g} {unit}"
    return f"{number / 1000:.3g} TB"
