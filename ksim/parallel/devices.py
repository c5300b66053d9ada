"""Which devices a run uses."""

import os

import jax

from ksim.config import ConfigError

SIMULATED_DEVICES_FLAG = "--xla_force_host_platform_device_count"


def select_devices(num_devices: int | None = None) -> tuple[jax.Device, ...]:
    """Returns the local devices that a run uses.

    On a CPU, `num_devices` makes that many simulated devices, provided that JAX has not started
    yet and that `XLA_FLAGS` does not say otherwise: the environment variable has the last word.

    Args:
      num_devices: how many devices to use; `None` takes all that JAX sees.

    Returns:
      The first `num_devices` local devices, in JAX's order.

    Raises:
      ConfigError: if there are fewer devices than asked for.
    """
    if num_devices is not None:
        if num_devices < 1:
            raise ConfigError(f"num_devices must be at least 1, found {num_devices}.")
        _request_simulated_devices(num_devices)
    devices = tuple(jax.local_devices())
    if num_devices is None:
        return devices
    if num_devices > len(devices):
        kind = devices[0].platform
        raise ConfigError(
            f"num_devices={num_devices}, but there are only {len(devices)} {kind} device(s)."
            f" Write num_devices={len(devices)} or leave the option out"
            f"{_how_to_simulate(num_devices) if kind == 'cpu' else ''}."
        )
    return devices[:num_devices]


def _request_simulated_devices(num_devices: int) -> None:
    """Asks JAX for simulated CPU devices; harmless where an accelerator is the default."""
    if SIMULATED_DEVICES_FLAG in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", num_devices)
    except RuntimeError:
        # The backend is up already, with the devices that it has: the caller counts them.
        return


def _how_to_simulate(num_devices: int) -> str:
    return (
        f", or simulate them from the start of the process with"
        f" XLA_FLAGS={SIMULATED_DEVICES_FLAG}={num_devices}"
    )
