"""Selects the devices of a run."""

import os

import jax

from ksim.config import ConfigError
from ksim.parallel.devices.simulated import how_to_simulate, request_simulated_devices


def select_devices(num_devices: int | None = None) -> tuple[jax.Device, ...]:
    """Returns the devices that a run uses, those of all its processes.

    On a CPU, `num_devices` makes that many simulated devices, provided that JAX has not started
    yet and that `XLA_FLAGS` does not say otherwise: the environment variable has the last word.

    Args:
      num_devices: number of devices of each process to use; `None` takes all that JAX sees.

    Returns:
      The first `num_devices` devices of each process, in JAX's order, process by process.

    Raises:
      ConfigError: if there are fewer devices than asked for, processes have different numbers
        of them, or no device is of the kind in JAX_PLATFORMS.
    """
    if num_devices is not None and num_devices < 1:
        raise ConfigError(f"num_devices must be at least 1, found {num_devices}.")
    request_simulated_devices(num_devices)
    devices = _local_devices()
    if num_devices is None or num_devices <= len(devices):
        is_alone = jax.process_count() == 1
        return devices[:num_devices] if is_alone else _of_all_processes(num_devices)
    kind = devices[0].platform
    raise ConfigError(
        f"num_devices={num_devices}, but there are only {len(devices)} {kind} device(s)."
        f" Write num_devices={len(devices)} or leave the option out"
        f"{how_to_simulate(num_devices) if kind == 'cpu' else ''}."
    )


def _local_devices() -> tuple[jax.Device, ...]:
    try:
        return tuple(jax.local_devices())
    except AssertionError as error:  # all that JAX says if it skips every platform that it may take
        platforms = os.environ.get("JAX_PLATFORMS", "")
        raise ConfigError(
            f"JAX_PLATFORMS={platforms}: JAX finds no such device here. Write JAX_PLATFORMS=cpu,"
            " or unset it; for NVIDIA GPUs run pip install 'ksim[cuda]'."
        ) from error


def _of_all_processes(num_devices: int | None) -> tuple[jax.Device, ...]:
    by_process = [
        [device for device in jax.devices() if device.process_index == index][:num_devices]
        for index in range(jax.process_count())
    ]
    counts = [len(devices) for devices in by_process]
    if len(set(counts)) > 1:
        found = ", ".join(f"{count} in process {index}" for index, count in enumerate(counts))
        raise ConfigError(
            f"The processes have different numbers of devices: {found}. Write"
            f" num_devices={min(counts)}: it counts the devices of one process."
        )
    return tuple(device for devices in by_process for device in devices)
