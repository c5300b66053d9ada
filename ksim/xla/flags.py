"""Adds to `XLA_FLAGS`, the variable from which XLA reads its flags when JAX starts its devices.

XLA ends a process that has a flag that it does not know. Those below are known to the XLA of jax
0.9.2 and of 0.12.0. What the user has set stays as it is.
"""

import os
import re

SIMULATED_DEVICES = "--xla_force_host_platform_device_count"
"""Number of devices that are simulated on a CPU."""

DISABLED_PASSES = "--xla_disable_hlo_passes"
"""Passes that the compiler leaves out."""

COLLECTIVE_TIMEOUT = "--xla_cpu_collective_timeout_seconds"
"""Seconds that a collective between processes on CPUs may take."""


def set_default_flag(flag: str, value: object) -> None:
    """Sets a flag, unless the user has."""
    flags = os.environ.get("XLA_FLAGS", "")
    if flag not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}={value}".strip()


def given_simulated_devices() -> int | None:
    """Returns the number of simulated devices in the flags; `None` if there is none."""
    found = re.search(rf"{SIMULATED_DEVICES}=(\d+)", os.environ.get("XLA_FLAGS", ""))
    return int(found[1]) if found else None
