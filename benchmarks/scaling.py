"""Measures how whole training scales over simulated devices and processes of one machine.

    python -m benchmarks.scaling

Give it the machine to itself. Writes benchmarks/results/scaling.json and the table "Scaling" in
docs/performance.md. The number of environments is the same everywhere, and large enough that what
an operation costs however small it is does not decide. The layouts take turns, in several rounds:
a machine whose speed drifts favours none.
"""

from __future__ import annotations

import json
import statistics
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
NUM_ROUNDS = 3
ITERATIONS = {"mjx": 8, "mujoco": 24}
# Devices of a process, processes, and the cores that they may use.
LAYOUTS = {
    "1 device, one core": (1, 1, "0"),
    "1 device": (1, 1, None),
    "2 devices": (2, 1, None),
    "4 devices": (4, 1, None),
    "8 devices": (8, 1, None),
    "2 processes": (1, 2, None),
}


def measure(folder: Path, engine: str, devices: int, processes: int, cores: str | None) -> float:
    """Returns environment steps in a second; what is compiled is kept in the folder."""
    options = [
        f"engine={engine}",
        f"num_devices={devices}",
        f"num_envs={NUM_ENVS}",
        f"batch_size={NUM_ENVS // 2}",
        f"max_steps={ITERATIONS[engine]}",
    ]
    speed = env_steps_per_second(read_rows(train(folder, TASK, options, processes, cores)))
    print(f"  {speed:,.0f} env-steps/s", flush=True)
    return speed


def write_table(speeds: dict[str, dict[str, list[float]]]) -> str:
    """Returns the table, in Markdown: the median of the rounds of each layout."""
    lines = [
        "| engine | layout | env-steps/s | to 1 core | to 1 device | to 2 devices |",
        "|---|---|---|---|---|---|",
    ]
    for engine, rounds in speeds.items():
        by_layout = {layout: statistics.median(rounds[layout]) for layout in LAYOUTS}
        others = [by_layout[name] for name in ("1 device, one core", "1 device", "2 devices")]
        for layout, speed in by_layout.items():
            ratios = " | ".join(f"{speed / other:.2f}" for other in others)
            lines.append(f"| {engine} | {layout} | {speed:,.0f} | {ratios} |")
    return "\n".join(lines)


def main() -> None:
    """Measures everything and writes the results."""
    speeds: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for engine in ITERATIONS:
            speeds[engine] = {layout: [] for layout in LAYOUTS}
            for _ in range(NUM_ROUNDS):
                for layout, how in LAYOUTS.items():
                    speeds[engine][layout].append(measure(Path(folder), engine, *how))
    results: dict[str, Any] = {"machine": describe_machine(), "num_envs": NUM_ENVS}
    RESULTS.write_text(json.dumps(results | {"env_steps_per_second": speeds}, indent=1) + "\n")
    replace_table(TABLE, "scaling", write_table(speeds))
    print(write_table(speeds))


if __name__ == "__main__":
    main()
