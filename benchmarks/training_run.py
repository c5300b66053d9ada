"""A task, trained for a few iterations by processes of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NUM_UNMEASURED = 3
"""Iterations that are not counted: the first ones fill caches."""


def train(
    folder: Path, task: str, options: list[str], num_processes: int = 1, cores: str | None = None
) -> Path:
    """Trains.

    Args:
      folder: where the run's directory and the compiled programs go; a program that lies there
        from a run before is not compiled again.
      task: the task's module.
      options: its options.
      num_processes: how many processes share the run.
      cores: those that the run may use, as `taskset` has them; all by default.

    Returns:
      The run's directory.

    Raises:
      RuntimeError: if the command failed; its output says why.
    """
    pinned = [] if cores is None else ["taskset", "--cpu-list", cores]
    command = [*pinned, sys.executable, "-m"]
    if num_processes > 1:
        command += ["ksim.launch", "--num-processes", str(num_processes)]
    # One short evaluation at the end; it is not part of what is counted.
    command += [task, *options, "eval_length_seconds=0.01"]
    print("$", " ".join(command), flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    arguments = [*command, f"run_dir={run}"]
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return run


def read_rows(run: Path) -> list[dict[str, Any]]:
    """Returns the metrics of every iteration."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def env_steps_per_second(rows: list[dict[str, Any]]) -> float:
    """Returns control steps over all devices by the clock: rollout, update, logging."""
    counted = rows[NUM_UNMEASURED - 1 : -1]  # the last one holds the evaluation
    steps = counted[-1]["env_steps"] - counted[0]["env_steps"]
    return float(steps / (counted[-1]["wall_seconds"] - counted[0]["wall_seconds"]))
