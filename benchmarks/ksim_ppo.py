"""Measures whole training with ksim: rollout, update, logging.

    python -m benchmarks.ksim_ppo walking num_devices=2 max_steps=20
    python -m benchmarks.ksim_ppo brax_humanoid mjcf=/path/of/brax/humanoid.xml

Runs the task as its command line would, in a run directory that is removed, and prints one JSON
object as the last line; `measure` describes its numbers.
"""

from __future__ import annotations

import time

PROCESS_START = time.perf_counter()

import importlib.metadata  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks.training_run import env_steps_per_second, read_rows  # noqa: E402
from ksim.config import parse_command_line  # noqa: E402

NUM_UNMEASURED = 3
"""Iterations that are not counted: the first ones fill caches."""


def create_task(name: str, arguments: list[str]) -> Any:
    """Returns one of the benchmark's tasks, with its options."""
    if name == "walking":
        from examples.walking_distributed import (
            HumanoidWalkingDistributedConfig,
            HumanoidWalkingDistributedTask,
        )

        return HumanoidWalkingDistributedTask(
            parse_command_line(HumanoidWalkingDistributedConfig(), arguments)
        )
    if name == "brax_humanoid":
        from benchmarks.brax_humanoid import BraxHumanoidConfig, BraxHumanoidTask

        return BraxHumanoidTask(parse_command_line(BraxHumanoidConfig(), arguments))
    raise SystemExit(f"{name}: no such benchmark. Write walking or brax_humanoid.")


def measure(name: str, arguments: list[str]) -> dict[str, Any]:
    """Trains and returns the measurement.

    Args:
      name: the task.
      arguments: its options; `max_steps` iterations are run, the first few not counted.

    Returns:
      Among others:
      `env_steps_per_second`: control steps over all devices, all steps of the counted iterations
      over their duration;
      `rollout_env_steps_per_second`: the same of rollouts alone, by their median duration;
      `rollout_fraction`: the median share of the rollout in an iteration;
      `first_update_seconds`: from the start of the process to the first completed update;
      `bytes_per_environment`: of the state that is kept between iterations.
    """
    with tempfile.TemporaryDirectory() as folder:
        # One short evaluation at the end; it is not part of what is counted.
        task = create_task(name, [*arguments, f"run_dir={folder}/run", "eval_length_seconds=0.01"])
        before_run = time.perf_counter() - PROCESS_START
        result = task.run()
        rows = read_rows(Path(folder, "run"))
    counted = rows[NUM_UNMEASURED - 1 : -1]  # the last one holds the evaluation
    durations = [row["time/rollout_seconds"] + row["time/update_seconds"] for row in rows]
    program = task.build()
    return {
        "framework": "ksim",
        "task": name,
        "versions": {
            package: importlib.metadata.version(package)
            for package in ("jax", "jaxlib", "flax", "mujoco", "mujoco-mjx")
        },
        "devices": task.partitioner.num_devices,
        "num_envs": program.num_envs,
        "env_steps_per_second": env_steps_per_second(counted),
        "rollout_fraction": statistics.median(
            row["time/rollout_seconds"] / total for row, total in zip(rows, durations, strict=True)
        ),
        "rollout_env_steps_per_second": (
            program.num_envs
            * program.rollout_length
            / statistics.median(row["time/rollout_seconds"] for row in rows[NUM_UNMEASURED:])
        ),
        "measured_seconds": sum(durations[NUM_UNMEASURED:-1]),
        "first_update_seconds": before_run + rows[0]["time/first_update_seconds"],
        "bytes_per_environment": bytes_per_environment(program),
        "iterations": result.iteration,
        "arguments": [_without_folder(argument) for argument in arguments],
    }


def _without_folder(argument: str) -> str:
    """Returns `option=file` of `option=/a/path/of/file`: results are read on other machines."""
    option, _, value = argument.partition("=")
    return f"{option}={Path(value).name}" if "/" in value else argument


def bytes_per_environment(program: Any) -> int:
    """Returns the bytes of one environment's state between two steps."""
    import jax

    shapes = program.environment_shapes
    total = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    return total // program.num_envs


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2:])))
