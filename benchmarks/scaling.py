"""Measures how whole training scales over simulated devices and processes of one machine.

    python -m benchmarks.scaling

Give it the machine to itself. Writes benchmarks/results/scaling.json and the table "Scaling" in
docs/performance.md. The number of environments is the same everywhere, and large enough that what
an operation costs however small it is does not decide.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.marked_table import replace_table
from benchmarks.run_all import describe_machine
from benchmarks.training_run import ROOT, env_steps_per_second, read_rows, train

RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
TABLE = ROOT / "docs" / "performance.md"
TASK = "examples.walking_distributed"
NUM_ENVS = 512
ITERATIONS = {"mjx": 8, "mujoco": 24}
# Devices of a process, processes.
LAYOUTS = {
    "1 device": (1, 1),
    "2 devices": (2, 1),
    "4 devices": (4, 1),
    "8 devices": (8, 1),
    "2 processes": (1, 2),
}


def measure(engine: str, devices: int, processes: int) -> float:
    """Returns environment steps in a second."""
    options = [
        f"engine={engine}",
        f"num_devices={devices}",
        f"num_envs={NUM_ENVS}",
        f"batch_size={NUM_ENVS // 2}",
        f"max_steps={ITERATIONS[engine]}",
    ]
    with tempfile.TemporaryDirectory() as folder:
        speed = env_steps_per_second(read_rows(train(Path(folder), TASK, options, processes)))
    print(f"  {speed:,.0f} env-steps/s", flush=True)
    return speed


def write_table(speeds: dict[str, dict[str, float]]) -> str:
    """Returns the table, in Markdown."""
    lines = [
        "| engine | layout | env-steps/s | to 1 device | to 2 devices |",
        "|---|---|---|---|---|",
    ]
    for engine, by_layout in speeds.items():
        one, two = by_layout["1 device"], by_layout["2 devices"]
        lines += [
            f"| {engine} | {layout} | {speed:,.0f} | {speed / one:.2f} | {speed / two:.2f} |"
            for layout, speed in by_layout.items()
        ]
    return "\n".join(lines)


def main() -> None:
    """Measures everything and writes the results."""
    speeds = {
        engine: {layout: measure(engine, *counts) for layout, counts in LAYOUTS.items()}
        for engine in ITERATIONS
    }
    results: dict[str, Any] = {"machine": describe_machine(), "num_envs": NUM_ENVS}
    RESULTS.write_text(json.dumps(results | {"env_steps_per_second": speeds}, indent=1) + "\n")
    replace_table(TABLE, "scaling", write_table(speeds))
    print(write_table(speeds))


if __name__ == "__main__":
    main()
