"""Measures the speed of averages over the devices of a run."""

import dataclasses
import statistics
import time
from typing import Any

import jax
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ksim.parallel.collectives import mean_over_devices
from ksim.parallel.partitioners.base import Partitioner, Placement

SMALL_BYTES = 4
LARGE_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class CollectiveSpeed:
    """Speed of an average over the devices while they do nothing else.

    Attributes:
      latency_seconds: time of an average of one number, within a program, s.
      bytes_per_second: speed at which a device sends further bytes, B/s. An average of n bytes over
        N devices sends 2 (N - 1) / N n of them, as over a ring.
    """

    latency_seconds: float
    bytes_per_second: float

    def seconds(self, num_collectives: float, num_bytes: float) -> float:
        """Returns the time of averages in which a device sends `num_bytes` in all, s."""
        return num_collectives * self.latency_seconds + num_bytes / self.bytes_per_second


def measure_collectives(
    partitioner: Partitioner, num_repeats: int = 16, num_trials: int = 5
) -> CollectiveSpeed | None:
    """Measures the speed of averages over all devices of a partitioner.

    A tiny array and one of 1 MiB are averaged many times in a row, each inside one compiled
    program, as in an update: the host's time to start a program is not part of it. All
    processes of a run must call this together.

    Args:
      partitioner: runs the program.
      num_repeats: averages in a program.
      num_trials: number of runs of each program; the median counts.

    Returns:
      The speed; `None` if there is one device, which sends nothing.
    """
    num_devices = partitioner.num_devices
    if num_devices == 1:
        return None

    def average(x: Float[Array, "n"]) -> Float[Array, "n"]:
        def once(_: Any, x: Array) -> Array:
            return mean_over_devices(x, partitioner.axis_name)

        return lax.fori_loop(0, num_repeats, once, x)

    program = partitioner.partition(average, (Placement.SHARDED,), Placement.SHARDED)

    def seconds(num_bytes: int) -> float:
        numbers = np.ones(num_devices * num_bytes // 4, np.float32)
        arrays = partitioner.shard_environments(numbers)
        jax.block_until_ready(program(arrays))  # compiles
        trials = []
        for _ in range(num_trials):
            began = time.perf_counter()
            jax.block_until_ready(program(arrays))
            trials.append(time.perf_counter() - began)
        return statistics.median(trials) / num_repeats

    latency, with_bytes = seconds(SMALL_BYTES), seconds(LARGE_BYTES)
    sent = 2 * (num_devices - 1) / num_devices * (LARGE_BYTES - SMALL_BYTES)
    # Noise can make the small average the slower one; then bytes cost nothing measurable.
    return CollectiveSpeed(latency, sent / max(with_bytes - latency, 1e-9))
