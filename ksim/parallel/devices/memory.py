"""Memory that devices have left."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

_MEMORY_INFO = Path("/proc/meminfo")
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def free_bytes(devices: Sequence[Any], num_processes_on_host: int = 1) -> list[int | None]:
    """Returns the bytes that each device has left for a program.

    An accelerator reports it. Devices on a CPU share the memory of their machine: each is given an
    equal part of the available memory, within the limit of the process's control group.

    Args:
      devices: the devices of a run, as `jax.devices()` gives them.
      num_processes_on_host: processes of the run on this machine, with as many devices each.

    Returns:
      Bytes for each device; `None` where they are unknown, as for another process's devices.
    """
    own = [device for device in devices if device.process_index == jax.process_index()]
    num_on_host = num_processes_on_host * sum(device.platform == "cpu" for device in own)

    def free(device: Any) -> int | None:
        if device not in own:
            return None
        if device.platform == "cpu":
            host = host_free_bytes()
            return None if host is None else host // num_on_host
        statistics = device.memory_stats() or {}
        if "bytes_limit" not in statistics:
            return None
        return int(statistics["bytes_limit"] - statistics.get("bytes_in_use", 0))

    return [free(device) for device in devices]


def host_free_bytes() -> int | None:
    """Returns the bytes of memory that this machine has left; `None` if it does not say."""
    limits = [_available_memory(), _left_in_control_group()]
    known = [limit for limit in limits if limit is not None]
    return max(min(known), 0) if known else None


def _available_memory() -> int | None:
    if _MEMORY_INFO.exists():
        for line in _MEMORY_INFO.read_text().splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return 1024 * int(amount.split()[0])
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _left_in_control_group() -> int | None:
    limit, used = _CONTROL_GROUP / "memory.max", _CONTROL_GROUP / "memory.current"
    if not (limit.exists() and used.exists()):
        return None
    text = limit.read_text().strip()
    return int(text) - int(used.read_text()) if text.isdigit() else None
