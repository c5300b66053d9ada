"""Trains a task for a few iterations, in processes of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def train(folder: Path, task: str, options: list[str], num_processes: int = 1) -> Path:
    """Trains, and returns the run's directory.

    Args:
      folder: the folder for the run's directory and compiled programs; a program that lies there
        from a run before is not compiled again.
      task: the task's module.
      options: its options.
      num_processes: the number of processes that share the run.

    Returns:
      The run's directory.

    Raises:
      RuntimeError: if the command failed; its output says why.
    """
    command = [sys.executable, "-m"]
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
    """Returns the metrics of every iteration; a line still being written is left out."""
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def env_steps_per_second(rows: list[dict[str, Any]]) -> float:
    """Returns control steps over all devices by the clock: rollout, update, logging.

    Args:
      rows: metrics of an iteration, where the clock starts, and of the counted ones after it.
    """
    steps = rows[-1]["env_steps"] - rows[0]["env_steps"]
    return float(steps / (rows[-1]["wall_seconds"] - rows[0]["wall_seconds"]))
