"""Simulates devices on the cores of a CPU."""

import jax

from ksim.xla.backend import has_jax_started
from ksim.xla.flags import SIMULATED_DEVICES, given_simulated_devices
from ksim.xla.threads import divide_operations_among_cores


def request_simulated_devices(num_devices: int | None) -> None:
    """Asks JAX for simulated devices if it has not started; has no effect on accelerators.

    `XLA_FLAGS` has the last word on their number.

    Args:
      num_devices: number of devices that this process will use; `None` for all.
    """
    if has_jax_started():
        return
    given = given_simulated_devices()
    if num_devices is not None and given is None:
        jax.config.update("jax_num_cpu_devices", num_devices)
    divide_operations_among_cores(num_devices or given or 1)


def how_to_simulate(num_devices: int) -> str:
    """Returns the end of a sentence on too few devices of a CPU."""
    return (
        f", or simulate them from the start of the process with"
        f" XLA_FLAGS={SIMULATED_DEVICES}={num_devices}"
    )
