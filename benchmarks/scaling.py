"""Measures how whole training scales over simulated devices and processes of one machine.

    python -m benchmarks.scaling

Give it the machine to itself. Writes benchmarks/results/scaling.json and the table "Scaling" in
docs/performance.md. The number of environments is the same everywhere, and large enough that the
fixed cost of operations does not decide. The layouts take turns of a few seconds, in
several rounds: a machine whose speed drifts favours none.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.marked_table import replace_table
from benchmarks.run_all import describe_machine
from benchmarks.training_run import ROOT
from benchmarks.turns import Layout, RunInTurns

RESULTS = ROOT / "benchmarks" / "results" / "scaling.json"
TABLE = ROOT / "docs" / "performance.md"
TASK = "examples.walking_distributed"
NUM_ENVS = 512
NUM_ROUNDS = 10
TURN_ITERATIONS = {"mjx": 3, "mujoco": 6}
LAYOUTS = {
    "1 device, one core": Layout(cores="0"),
    "1 device": Layout(),
    "2 devices": Layout(num_devices=2),
    "4 devices": Layout(num_devices=4),
    "8 devices": Layout(num_devices=8),
    "2 processes": Layout(num_processes=2),
}
OTHERS = ("1 device, one core", "1 device", "2 devices")
"""Layouts with which each layout is compared."""

Rounds = dict[str, list[float]]
"""Environment steps a second in every round, by layout."""


def measure(folder: Path, engine: str) -> Rounds:
    """Lets the layouts take turns; returns their speeds. The folder keeps compiled programs."""
    options = [f"engine={engine}", f"num_envs={NUM_ENVS}", f"batch_size={NUM_ENVS // 2}"]
    runs: dict[str, RunInTurns] = {}
    speeds: Rounds = {name: [] for name in LAYOUTS}
    try:
        for name, layout in LAYOUTS.items():
            runs[name] = RunInTurns(folder, TASK, options, layout)
            runs[name].train(1)
        for index in range(NUM_ROUNDS):
            # To and fro: no layout always comes after the same one.
            for name in list(runs)[:: 1 if index % 2 == 0 else -1]:
                speeds[name].append(runs[name].train(TURN_ITERATIONS[engine]))
            of_round = ", ".join(f"{name} {speeds[name][-1]:,.0f}" for name in runs)
            print(f"round {index + 1} of {NUM_ROUNDS}, env-steps/s: {of_round}", flush=True)
    finally:
        for run in runs.values():
            run.end()
    return speeds


def ratio(speeds: list[float], others: list[float]) -> str:
    """Returns the mean ratio of speeds over the rounds, and its standard error."""
    ratios = [speed / other for speed, other in zip(speeds, others, strict=True)]
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    return f"{statistics.mean(ratios):.2f} ± {error:.2f}"


def write_table(speeds: dict[str, Rounds]) -> str:
    """Returns the table, in Markdown."""
    lines = [
        "| engine | layout | env-steps/s | to 1 core | to 1 device | to 2 devices |",
        "|---|---|---|---|---|---|",
    ]
    for engine, rounds in speeds.items():
        for layout, of_layout in rounds.items():
            ratios = " | ".join(
                "1" if other == layout else ratio(of_layout, rounds[other]) for other in OTHERS
            )
            lines.append(
                f"| {engine} | {layout} | {statistics.median(of_layout):,.0f} | {ratios} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measures everything and writes the results."""
    with tempfile.TemporaryDirectory() as folder:
        speeds = {engine: measure(Path(folder), engine) for engine in TURN_ITERATIONS}
    results: dict[str, Any] = {"machine": describe_machine(), "num_envs": NUM_ENVS}
    RESULTS.write_text(json.dumps(results | {"env_steps_per_second": speeds}, indent=1) + "\n")
    replace_table(TABLE, "scaling", write_table(speeds))
    print(write_table(speeds))


if __name__ == "__main__":
    main()
