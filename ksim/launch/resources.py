"""Divides the GPUs and ports of a machine among its processes."""

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping

from ksim.config import ConfigError

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def split_gpus(num_processes: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """Returns the variables that give each process its share of the GPUs; none without GPUs.

    Raises:
      ConfigError: if the GPUs do not split evenly.
    """
    gpus = _visible_gpus(environment)
    if not gpus or num_processes == 1:
        return [{} for _ in range(num_processes)]
    if len(gpus) % num_processes:
        usable = len(gpus) // num_processes * num_processes
        fewer = f"set {_VISIBLE}={','.join(gpus[:usable])}, or " if usable else ""
        raise ConfigError(
            f"{len(gpus)} GPU(s) do not split evenly over {num_processes} processes: {fewer}write"
            f" --num-processes {len(gpus)} for one GPU each. (JAX_PLATFORMS=cpu uses none.)"
        )
    each = len(gpus) // num_processes
    return [{_VISIBLE: ",".join(gpus[i * each : (i + 1) * each])} for i in range(num_processes)]


def free_loopback_address() -> str:
    """Returns an address of this machine alone, with a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _visible_gpus(environment: Mapping[str, str]) -> list[str]:
    if environment.get("JAX_PLATFORMS", "").lower() == "cpu":
        return []
    if _VISIBLE in environment:
        return [name.strip() for name in environment[_VISIBLE].split(",") if name.strip()]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    listed = subprocess.run(  # noqa: S603
        [command, "-L"], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(lines))]
