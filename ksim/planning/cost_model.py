"""Predicts the time of an iteration by a formula, with coefficients fitted to measured runs."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from ksim.config import ConfigError
from ksim.parallel import CollectiveSpeed
from ksim.planning.measurement import Measurement
from ksim.training.workload import Workload


@dataclass(frozen=True)
class Network:
    """Network over which devices communicate, as a ring.

    Attributes:
      hop_seconds: time until a message has reached the next device, s.
      bytes_per_second: speed at which a device sends, B/s.
    """

    hop_seconds: float
    bytes_per_second: float

    def collectives(self, num_devices: int) -> CollectiveSpeed:
        """Returns the speed of averages over a number of devices: 2 (N - 1) hops in sequence."""
        return CollectiveSpeed(2 * (num_devices - 1) * self.hop_seconds, self.bytes_per_second)


@dataclass(frozen=True)
class Cost:
    """Cost of an iteration.

    Attributes:
      num_steps: environment steps of all devices.
      rollout_seconds: time of acting, s.
      learning_seconds: time of learning without communication, s.
      communication_seconds: time of averages over devices, s.
    """

    num_steps: int
    rollout_seconds: float
    learning_seconds: float
    communication_seconds: float

    @property
    def update_seconds(self) -> float:
        """Time of learning with communication, s."""
        return self.learning_seconds + self.communication_seconds

    @property
    def seconds(self) -> float:
        """Time of the whole iteration, s."""
        return self.rollout_seconds + self.update_seconds

    @property
    def env_steps_per_second(self) -> float:
        """Environment steps of all devices in a second."""
        return self.num_steps / self.seconds


@dataclass(frozen=True)
class CostModel:
    """Time of an iteration of T control steps, E environments, U updates, S samples, N devices.

        rollout  = k T (step + environment_step E / N)
        learning = k (update U + sample S / N + compressed_number Q)
        communication = latency C + bytes U / bandwidth

    `k` is 1, or the number of simulated devices on a core; `Q` counts the numbers that are
    compressed and `C` the updates that communicate. Devices are taken to be equally fast, and to
    begin an average together.

    Attributes:
      unit: a device, in words.
      step: fixed time of a control step, s.
      environment_step: further time of it for each environment of the device, s.
      update: fixed time of an update, s.
      sample: further time of it for each sample of the device, s.
      compressed_number: time of compressing one number, s.
      network: the network as measured; `None` if no run had several devices.
    """

    unit: str
    step: float
    environment_step: float
    update: float
    sample: float
    compressed_number: float
    network: Network | None

    def predict(self, workload: Workload, collectives: CollectiveSpeed | None = None) -> Cost:
        """Returns the cost of an iteration.

        Args:
          workload: the work of the iteration.
          collectives: the speed at which its devices average; by default that of the workload.
        """
        collectives = collectives or workload.collectives
        rollout = float(_rollout_row(workload) @ [self.step, self.environment_step])
        learning = _update_row(workload) @ [self.update, self.sample, self.compressed_number]
        return Cost(
            num_steps=workload.num_envs * workload.rollout_length,
            rollout_seconds=rollout,
            learning_seconds=float(learning),
            communication_seconds=communication_seconds(workload, collectives),
        )


def fit_cost_model(measurements: Sequence[Measurement]) -> CostModel:
    """Returns the model with the least squares of relative errors, no cost below 0.

    Costs that the runs cannot tell stay at 0: without runs that differ in the environments on a
    device, all time counts as growing with them; without one that compresses, compressing is free.

    Args:
      measurements: runs of one task on devices of one kind.

    Raises:
      ConfigError: if there are no measurements, or their devices differ.
    """
    if not measurements:
        raise ConfigError("A cost model needs at least one measured run.")
    unit = device_unit(measurements[0].workload)
    for measurement in measurements:
        check_unit(measurement, unit)
    workloads = [measurement.workload for measurement in measurements]
    learning = [
        measurement.update_seconds
        - communication_seconds(measurement.workload, measurement.workload.collectives)
        for measurement in measurements
    ]
    rollout = _fit(
        np.array([_rollout_row(workload) for workload in workloads]),
        np.array([measurement.rollout_seconds for measurement in measurements]),
    )
    update = _fit(
        np.array([_update_row(workload) for workload in workloads]),
        # A probe may take longer than the averages of the run that it stands for.
        np.maximum(learning, 0.1 * np.array([m.update_seconds for m in measurements])),
    )
    return CostModel(unit, *rollout, *update, network=_network(workloads))


def device_unit(workload: Workload) -> str:
    """Returns a device of a run in words: only runs on equal devices can be compared."""
    if workload.platform != "cpu":
        return workload.device_kind
    cores = max(1.0, workload.cores_on_host / workload.devices_on_host)
    return "one core of a CPU" if cores == 1 else f"{cores:g} cores of a CPU"


def check_unit(measurement: Measurement, unit: str) -> None:
    """Checks that a run had devices of one kind.

    Raises:
      ConfigError: if it had others.
    """
    found = device_unit(measurement.workload)
    if found != unit:
        raise ConfigError(
            f"{measurement.name}: a device was {found}, but {unit} in the first run. Name runs on"
            " equal devices; on a CPU, with as many simulated devices as cores, or more."
        )


def communication_seconds(workload: Workload, collectives: CollectiveSpeed | None) -> float:
    """Returns the time of averages over devices in an iteration."""
    traffic = workload.traffic
    if traffic is None or collectives is None or workload.num_devices == 1:
        return 0.0
    num_bytes = traffic.bytes_per_update(workload.num_devices) * traffic.num_updates
    return collectives.seconds(traffic.num_communicating, num_bytes)


def _sharing(workload: Workload) -> float:
    """Returns the number of devices that share a core, at least 1."""
    if workload.platform != "cpu":
        return 1.0
    return max(1.0, workload.devices_on_host / workload.cores_on_host)


def _rollout_row(workload: Workload) -> np.ndarray:
    envs = workload.num_envs / workload.num_devices
    return _sharing(workload) * workload.rollout_length * np.array([1.0, envs])


def _update_row(workload: Workload) -> np.ndarray:
    traffic, samples = workload.traffic, workload.num_samples
    num_updates = 1 if traffic is None else traffic.num_updates
    if samples is None:
        samples = workload.num_envs * workload.rollout_length
    compressed = 0
    if traffic is not None and traffic.compression != "none" and workload.num_devices > 1:
        num_parameters = sum(traffic.sizes) + sum(traffic.split_sizes) // traffic.fsdp_devices
        compressed = (traffic.num_synchronising + 1) * num_parameters
    row = np.array([num_updates, samples / workload.num_devices, compressed])
    return _sharing(workload) * row


def _fit(rows: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Returns coefficients, none below 0, with which `rows @ coefficients` is near `seconds`."""
    relative = rows / seconds[:, None]
    coefficients = np.zeros(rows.shape[1])
    # The first column is the fixed cost. It is left out if the runs do not tell it from the second.
    first = 0 if np.linalg.matrix_rank(relative[:, :2]) == 2 else 1
    coefficients[first:] = nnls(relative[:, first:], np.ones(len(seconds)))[0]
    return coefficients


def _network(workloads: Sequence[Workload]) -> Network | None:
    """Returns the ring that explains the median of the measured speeds."""
    pairs = [(w.num_devices, w.collectives) for w in workloads if w.collectives is not None]
    if not pairs:
        return None
    return Network(
        statistics.median(c.latency_seconds / (2 * (count - 1)) for count, c in pairs),
        statistics.median(c.bytes_per_second for _, c in pairs),
    )
