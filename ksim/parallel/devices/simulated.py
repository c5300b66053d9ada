"""Simulates devices on the cores of a CPU."""

import os
import re

import jax

from ksim.xla.backend import has_jax_started
from ksim.xla.threads import divide_operations_among_cores

SIMULATED_DEVICES_FLAG = "--xla_force_host_platform_device_count"


def request_simulated_devices(num_devices: int | None) -> None:
    """Asks JAX for simulated devices if it has not started; has no effect on accelerators.

    `XLA_FLAGS` has the last word on their number.

    Args:
      num_devices: number of devices that this process will use; `None` for all.
    """
    if has_jax_started():
        return
    found = re.search(rf"{SIMULATED_DEVICES_FLAG}=(\d+)", os.environ.get("XLA_FLAGS", ""))
    given = int(found[1]) if found else None
    if num_devices is not None and given is None:
        jax.config.update("jax_num_cpu_devices", num_devices)
    divide_operations_among_cores(num_devices or given or 1)


def how_to_simulate(num_devices: int) -> str:
    """Returns the end of a sentence on too few devices of a CPU."""
    return (
        f", or simulate them from the start of the process with"
        f" XLA_FLAGS={SIMULATED_DEVICES_FLAG}={num_devices}"
    )
