"""Measures the speed of a run, its phases and its communication."""

import dataclasses
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

from ksim.parallel import CollectiveSpeed, Partitioner, measure_collectives
from ksim.training.metrics import Metrics
from ksim.training.program import Program

# The speed of a set of devices is measured once in a process.
_measured: dict[tuple[Any, ...], CollectiveSpeed | None] = {}


class DeviceClock:
    """Times the rollout of each device of this process.

    A rollout communicates nothing, so every device takes its own time. One sleeping thread waits
    for each; the threads end with the clock.
    """

    def __init__(self, num_devices: int) -> None:
        """Prepares the threads; with one device there is nothing to compare."""
        self._threads = ThreadPoolExecutor(num_devices) if num_devices > 1 else None

    def wait(self, array: jax.Array, began: float) -> dict[int, float]:
        """Waits until all devices have finished.

        Args:
          array: a sharded result of the rollout.
          began: time of its begin (`time.monotonic`).

        Returns:
          Seconds by the device's place in the run; empty for one device.
        """
        if self._threads is None:
            return {}

        def finished(shard: Any) -> float:
            shard.data.block_until_ready()
            return time.monotonic() - began

        # Shards lie in the order of the environments, but may be listed in another.
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        length = shards[0].data.shape[0]
        seconds = self._threads.map(finished, shards)
        return {
            (shard.index[0].start or 0) // length: second
            for shard, second in zip(shards, seconds, strict=True)
        }


@dataclasses.dataclass(frozen=True)
class Telemetry:
    """Facts about a run that turn the times of each iteration into metrics.

    Attributes:
      num_devices: devices of the run.
      bytes_per_update: bytes that a device sends in an update; `None` if unknown.
      communication_seconds: time of an iteration's averages on idle devices, s; `None` if
        unknown.
      single_device_rate: environment steps per second of one device alone; `None` if it was not
        measured.
    """

    num_devices: int
    bytes_per_update: float | None = None
    communication_seconds: float | None = None
    single_device_rate: float | None = None

    @classmethod
    def of(cls, program: Program, single_device_rate: float | None = None) -> "Telemetry":
        """Returns the telemetry of a program; measures the communication of its devices."""
        partitioner = program.partitioner
        learner = program.train_state_shapes.learner
        traffic = program.algorithm.traffic(learner)
        num_bytes = None if traffic is None else traffic.bytes_per_update(partitioner.num_devices)
        speed = collective_speed(partitioner)
        seconds = None
        if speed is not None and traffic is not None and num_bytes is not None:
            seconds = speed.seconds(traffic.num_communicating, num_bytes * traffic.num_updates)
        return cls(partitioner.num_devices, num_bytes, seconds, single_device_rate)

    def metrics(
        self, num_steps: float, seconds: float, rollout_seconds: float, update_seconds: float
    ) -> Metrics:
        """Returns the metrics of an iteration.

        Args:
          num_steps: environment steps of all devices.
          seconds: time of the iteration, s; less than the sum of both parts if they overlapped.
          rollout_seconds: time until all devices had acted, s.
          update_seconds: time from then until they had learned, s.
        """
        rate = num_steps / seconds
        metrics = {
            "throughput/env_steps_per_second": rate,
            "throughput/env_steps_per_second_per_device": rate / self.num_devices,
            "time/global_fps": rate,  # by the name that users of other libraries look for
            "time/rollout_seconds": rollout_seconds,
            "time/update_seconds": update_seconds,
            "time/rollout_share": rollout_seconds / seconds,
            "time/update_share": update_seconds / seconds,
        }
        if self.bytes_per_update is not None:
            metrics["communication/bytes_per_update"] = self.bytes_per_update
        if self.communication_seconds is not None:
            # It is a part of the update, even if it was measured on busy devices.
            communication = min(self.communication_seconds, update_seconds)
            metrics["time/communication_share_estimated"] = communication / seconds
        if self.single_device_rate is not None:
            ideal = self.num_devices * self.single_device_rate
            metrics["throughput/parallel_efficiency"] = rate / ideal
        return metrics


def device_metrics(seconds: Mapping[int, float]) -> Metrics:
    """Returns the metrics of the slowest device to act.

    Args:
      seconds: time of each device's rollout, by its place in the run; empty for one device.

    Returns:
      `time/slowest_device`, its place; `time/slowest_device_excess`, its time beyond the mean of
      the devices, as a share of that mean; `time/device/<i>/rollout_seconds`.
    """
    if not seconds:
        return {}
    slowest = max(seconds, key=lambda index: seconds[index])
    excess = seconds[slowest] / statistics.mean(seconds.values()) - 1
    return {
        "time/slowest_device": float(slowest),
        "time/slowest_device_excess": excess,
        **{f"time/device/{index}/rollout_seconds": value for index, value in seconds.items()},
    }


def collective_speed(partitioner: Partitioner) -> CollectiveSpeed | None:
    """Returns the communication speed of a partitioner's devices, measured once in a process."""
    key = (type(partitioner), partitioner.devices, partitioner.axis_name, partitioner.group_size)
    if key not in _measured:
        _measured[key] = measure_collectives(partitioner)
    return _measured[key]
