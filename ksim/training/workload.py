"""Records the work and the machine of a run's iteration: everything that its time depends on."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from ksim.config import ConfigError
from ksim.parallel import CollectiveSpeed, Traffic
from ksim.parallel.processes import ProcessGroup
from ksim.training.program import Program
from ksim.training.telemetry import collective_speed

FILE_NAME = "workload.json"


@dataclasses.dataclass(frozen=True)
class Workload:
    """Work of an iteration; written into the run's directory for `ksim plan`.

    Attributes:
      platform: platform of the devices: `cpu`, `gpu` or `tpu`.
      device_kind: model of the devices.
      num_devices: devices of the run.
      num_processes: processes of the run.
      devices_on_host: devices of the run on the machine of process 0.
      cores_on_host: processor cores that its processes there may use.
      num_envs: environments over all devices.
      rollout_length: control steps in a rollout.
      num_samples: samples of an iteration's updates, over all passes; `None` if unknown.
      traffic: communication of the devices; `None` if unknown.
      collectives: speed of that communication; `None` for one device.
    """

    platform: str
    device_kind: str
    num_devices: int
    num_processes: int
    devices_on_host: int
    cores_on_host: int
    num_envs: int
    rollout_length: int
    num_samples: int | None
    traffic: Traffic | None
    collectives: CollectiveSpeed | None

    @classmethod
    def of(cls, program: Program, processes: ProcessGroup) -> "Workload":
        """Returns the workload of a program.

        All processes must call this together: it measures the communication of the devices, once
        in a process.
        """
        devices = program.partitioner.devices
        local = processes.peers_on_my_host
        learner = program.train_state_shapes.learner
        return cls(
            platform=devices[0].platform,
            device_kind=devices[0].device_kind,
            num_devices=len(devices),
            num_processes=processes.count,
            devices_on_host=len(devices) // processes.count * len(local),
            cores_on_host=len({core for peer in local for core in peer.cores}),
            num_envs=program.num_envs,
            rollout_length=program.rollout_length,
            num_samples=program.algorithm.num_samples(program.num_envs * program.rollout_length),
            traffic=program.algorithm.traffic(learner),
            collectives=collective_speed(program.partitioner),
        )

    def save(self, directory: Path) -> None:
        """Writes the workload into the directory of its run."""
        text = json.dumps(dataclasses.asdict(self), indent=1)
        (directory / FILE_NAME).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> "Workload":
        """Returns the workload of a run.

        Raises:
          ConfigError: if the directory has none of this version.
        """
        path = directory / FILE_NAME
        if not path.is_file():
            raise ConfigError(
                f"{directory} has no {FILE_NAME}. Name the directory of a run (runs/<task>/run_000)"
                " that this version of ksim made."
            )
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if values["traffic"] is not None:
                sizes = {name: tuple(values["traffic"][name]) for name in ("sizes", "split_sizes")}
                values["traffic"] = Traffic(**values["traffic"] | sizes)
            if values["collectives"] is not None:
                values["collectives"] = CollectiveSpeed(**values["collectives"])
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"{path} is not the workload of a run of this version of ksim: {error}."
                " Run the task again."
            ) from None
