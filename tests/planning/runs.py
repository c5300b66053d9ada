"""Runs that were never run, whose times follow a formula."""

import json

from ksim.parallel import CollectiveSpeed, Traffic
from ksim.training.workload import Workload

NUM_PARAMETERS = 1000


def workload(num_devices=2, num_envs=64, **changes):
    """Returns a workload of 10 steps and 4 updates, on as many cores as devices."""
    traffic = Traffic((NUM_PARAMETERS,), num_updates=4, **changes.pop("traffic", {}))
    speed = CollectiveSpeed(latency_seconds=1e-4, bytes_per_second=1e8)
    values = {
        "platform": "cpu",
        "device_kind": "cpu",
        "num_devices": num_devices,
        "num_processes": 1,
        "devices_on_host": num_devices,
        "cores_on_host": num_devices,
        "num_envs": num_envs,
        "rollout_length": 10,
        "num_samples": 10 * num_envs,
        "traffic": traffic,
        "collectives": None if num_devices == 1 else speed,
    }
    return Workload(**values | changes)


def write_run(folder, load, rollout_seconds, update_seconds, iterations=6):
    """Writes the directory of a run whose first iterations were slow."""
    folder.mkdir(parents=True)
    load.save(folder)
    rows = [
        {
            "iteration": index,
            "time/rollout_seconds": rollout_seconds + (index <= 2),
            "time/update_seconds": update_seconds + (index <= 2),
        }
        for index in range(1, iterations + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
