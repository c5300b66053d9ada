"""How fast a run is, where its time goes, and what its devices send."""

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
    """Notes when each device of this process has finished its rollout.

    A rollout communicates nothing, so that each device takes the time that it needs. One thread
    waits for each, asleep; they end with the clock.
    """

    def __init__(self, num_devices: int) -> None:
        """Prepares the threads; with one device there is nothing to compare."""
        self._threads = ThreadPoolExecutor(num_devices) if num_devices > 1 else None

    def wait(self, array: jax.Array, began: float) -> dict[int, float]:
        """Waits until all devices have finished.

        Args:
          array: a sharded result of the rollout.
          began: when it began (`time.monotonic`).

        Returns:
          Seconds by the device's place in the run; empty if there is one device.
        """
        if self._threads is None:
            return {}

        def finished(shard: Any) -> float:
            shard.data.block_until_ready()
            return time.monotonic() - began

        # Shards lie in the order of the environments, whatever the order in which they are listed.
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        length = shards[0].data.shape[0]
        seconds = self._threads.map(finished, shards)
        return {
            (shard.index[0].start or 0) // length: second
            for shard, second in zip(shards, seconds, strict=True)
        }


@dataclasses.dataclass(frozen=True)
class Telemetry:
    """What is known of a run, to make metrics of the times of each iteration.

    Attributes:
      num_devices: devices of the run.
      bytes_per_update: what a device sends in an update; `None` if it is not known.
      communication_seconds: what the averages of an iteration take on devices that do nothing
        else; `None` if it is not known.
      single_device_rate: environment steps that one device alone does in a second; `None` if that
        was not measured.
    """

    num_devices: int
    bytes_per_update: float | None = None
    communication_seconds: float | None = None
    single_device_rate: float | None = None

    @classmethod
    def of(cls, program: Program, single_device_rate: float | None = None) -> "Telemetry":
        """Returns the telemetry of a program; measures how fast its devices communicate."""
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
          seconds: time that it took; less than the sum of both parts if they overlapped, s.
          rollout_seconds: time until all devices had acted, s.
          update_seconds: time until they had learned, s.
        """
        rate = num_steps / seconds
        metrics = {
            "throughput/env_steps_per_second": rate,
            "throughput/env_steps_per_second_per_device": rate / self.num_devices,
            "time/rollout_seconds": rollout_seconds,
            "time/update_seconds": update_seconds,
            "time/rollout_share": rollout_seconds / seconds,
            "time/update_share": update_seconds / seconds,
        }
        if self.bytes_per_update is not None:
            metrics["communication/bytes_per_update"] = self.bytes_per_update
        if self.communication_seconds is not None:
            # It is a part of the update, however busy the devices were while it was measured.
            communication = min(self.communication_seconds, update_seconds)
            metrics["time/communication_share_estimated"] = communication / seconds
        if self.single_device_rate is not None:
            ideal = self.num_devices * self.single_device_rate
            metrics["throughput/parallel_efficiency"] = rate / ideal
        return metrics


def device_metrics(seconds: Mapping[int, float]) -> Metrics:
    """Returns which device was the slowest to act, and by how much.

    Args:
      seconds: of each device's rollout, by its place in the run; empty for one device.

    Returns:
      `time/slowest_device`, its place; `time/slowest_device_excess`, how much longer than the
      mean of the devices it took, as a share of that mean; `time/device/<i>/rollout_seconds`.
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
    """Returns how fast the devices of a partitioner communicate; measured once in a process."""
    key = (type(partitioner), partitioner.devices, partitioner.axis_name, partitioner.group_size)
    if key not in _measured:
        _measured[key] = measure_collectives(partitioner)
    return _measured[key]
