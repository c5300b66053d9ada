"""Fits the cost model of `ksim plan` to some runs and compares it with others.

    python -m benchmarks.cost_model

Give it the machine to itself. Every run is a process of its own, or two of them. The runs that are
predicted differ from those that are fitted in the number of devices, environments, and in how
devices synchronise. Writes benchmarks/results/cost_model.json and its table in docs/scaling.md.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.marked_table import replace_table
from benchmarks.run_all import describe_machine
from benchmarks.training_run import ROOT, train
from ksim.planning import Measurement, fit_cost_model, read_measurement
from ksim.planning.report import relative_error

RESULTS = ROOT / "benchmarks" / "results" / "cost_model.json"
TABLE = ROOT / "docs" / "scaling.md"

TASK = "examples.walking_distributed"
ITERATIONS = 30
OPTIONS = (f"max_steps={ITERATIONS}",)

Spec = tuple[int, int, tuple[str, ...], int]
"""Devices of a process, environments, further options, processes."""

FITTED: tuple[Spec, ...] = (
    (2, 32, (), 1),
    (2, 128, (), 1),
    (2, 512, (), 1),
    (4, 128, (), 1),
    (2, 128, ("grad_compression=int8",), 1),
)
HELD_OUT: tuple[Spec, ...] = (
    (2, 64, (), 1),
    (2, 256, (), 1),
    (4, 256, (), 1),
    (8, 256, (), 1),
    (2, 256, ("grad_sync_period=4", "sync_mode=accumulate"), 1),
    (4, 64, ("grad_sync_period=8",), 1),
    (4, 256, ("grad_compression=int8",), 1),
    (1, 128, (), 2),
)


def measure(folder: Path, spec: Spec) -> Measurement:
    """Runs the task and returns its measurement."""
    devices, envs, further, processes = spec
    options = [f"num_devices={devices}", f"num_envs={envs}", f"batch_size={envs // 2}", *further]
    measurement = read_measurement(train(folder, TASK, [*OPTIONS, *options], processes))
    print(f"  {measurement.seconds:.4f} s an iteration", flush=True)
    return measurement


def describe(spec: Spec) -> str:
    """Returns a run in words."""
    devices, envs, further, processes = spec
    where = f"{processes} processes of {devices}" if processes > 1 else f"{devices} devices"
    return ", ".join([where, f"{envs} environments", *further])


def main() -> None:
    """Runs everything and writes the results."""
    with tempfile.TemporaryDirectory() as folder:
        fitted, held_out = (
            [measure(Path(folder, kind, str(index)), spec) for index, spec in enumerate(specs)]
            for kind, specs in (("fitted", FITTED), ("held_out", HELD_OUT))
        )
    model = fit_cost_model(fitted)
    rows: list[dict[str, Any]] = [
        {
            "run": describe(spec),
            "is_held_out": is_held_out,
            "measured_seconds": measurement.seconds,
            "predicted_seconds": model.predict(measurement.workload).seconds,
            "relative_error": relative_error(model, measurement),
        }
        for is_held_out, specs, measurements in (
            (False, FITTED, fitted),
            (True, HELD_OUT, held_out),
        )
        for spec, measurement in zip(specs, measurements, strict=True)
    ]
    results = {"machine": describe_machine(), "task": TASK, "runs": rows}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    replace_table(TABLE, "cost model", write_table(rows))
    print(write_table(rows))


def write_table(rows: list[dict[str, Any]]) -> str:
    """Returns a table of measured and predicted times, in Markdown."""
    lines = ["| run | | measured | predicted | error |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['run']} | {'held out' if row['is_held_out'] else 'fitted'} |"
        f" {row['measured_seconds']:.3f} s | {row['predicted_seconds']:.3f} s |"
        f" {row['relative_error']:+.0%} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
