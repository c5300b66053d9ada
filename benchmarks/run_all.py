"""Runs every benchmark and writes the results and the table in docs/performance.md.

    python -m benchmarks.run_all

Give it the machine to itself. Every measurement is a process of its own, one after the other;
ksim and brax alternate, so that a machine whose speed drifts favours neither.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.brax_environment import ensure_brax_python
from benchmarks.brax_humanoid import brax_humanoid_mjcf

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "training_speed.json"
TABLE = ROOT / "docs" / "performance.md"
KSIM_ITERATIONS = 25
BRAX_EPOCHS, BRAX_ITERATIONS = 3, 18

Result = dict[str, Any]


def run(command: list[str], cache: str | None) -> Result:
    """Runs a measurement in a process of its own.

    Args:
      command: what to run; its last line of output is one JSON object.
      cache: directory of the compilation cache; `None` compiles everything anew.

    Returns:
      The object.

    Raises:
      RuntimeError: if the command failed; its output says why.
    """
    print("$", " ".join(command), flush=True)
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    if cache is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = cache
        environment["XDG_CACHE_HOME"] = cache
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    print(f"  {result['env_steps_per_second']:,.0f} env-steps/s,", end=" ")
    print(f"first update after {result['first_update_seconds']:.1f} s", flush=True)
    return result


def ksim(task: str, devices: int, iterations: int, *arguments: str) -> list[str]:
    """Returns the command that measures ksim."""
    options = [f"num_devices={devices}", f"max_steps={iterations}", *arguments]
    return [sys.executable, "-m", "benchmarks.ksim_ppo", task, *options]


def measure_all() -> Result:
    """Runs every measurement and returns all results."""
    brax_python = ensure_brax_python()
    mjcf = f"mjcf={brax_humanoid_mjcf(brax_python)}"
    brax = [str(brax_python), "benchmarks/brax_ppo.py"]
    brax += [f"--iterations={BRAX_ITERATIONS}", f"--epochs={BRAX_EPOCHS}"]
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as cache:
        for devices in (1, 2):
            results[f"brax_humanoid/brax/{devices}"] = run([*brax, f"--devices={devices}"], None)
            command = ksim("brax_humanoid", devices, KSIM_ITERATIONS, mjcf)
            results[f"brax_humanoid/ksim/{devices}"] = run(command, f"{cache}/brax_humanoid")
        for devices in (1, 2, 4):
            folder = f"{cache}/walking_{devices}"
            command = ksim("walking", devices, KSIM_ITERATIONS)
            results[f"walking/ksim/{devices}"] = run(command, folder)
            if devices == 2:
                command = ksim("walking", devices, 5)
                results["walking/ksim/2/warm"] = run(command, folder)
    return {"machine": describe_machine(), "results": results}


def describe_machine() -> dict[str, Any]:
    """Returns what the figures depend on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def write_table(measured: Result) -> str:
    """Returns docs/performance.md."""
    results = measured["results"]
    speed = {name: result["env_steps_per_second"] for name, result in results.items()}
    first = {name: result["first_update_seconds"] for name, result in results.items()}
    brax_best = max(speed[f"brax_humanoid/brax/{devices}"] for devices in (1, 2))
    machine, brax_versions = measured["machine"], results["brax_humanoid/brax/1"]["versions"]
    versions = results["walking/ksim/1"]["versions"]
    lines = [
        "# Performance",
        "",
        "Written by `make bench`, from one run on one machine. Absolute figures are that",
        "machine's; the ratios are what can be compared. Every figure is whole training: rollout,",
        "update and logging, without compilation and evaluation.",
        "",
        f"Machine: {machine['cores']} {machine['processor']} cores, {machine['system']}, Python"
        f" {machine['python']}, {machine['date']}. ksim on jax {versions['jax']}, mujoco-mjx"
        f" {versions['mujoco-mjx']}; brax {brax_versions['brax']} on jax {brax_versions['jax']},"
        f" mujoco-mjx {brax_versions['mujoco-mjx']}.",
        "",
        "## Beside brax",
        "",
        "brax's own humanoid MJCF and MJX settings, 128 environments, rollouts of 20 control",
        "steps, 4 passes over 4 minibatches, two networks of 256x256, the same observations and",
        "rewards.",
        "",
        "| | devices | env-steps/s | to brax's best | first update, cold |",
        "|---|---|---|---|---|",
    ]
    for devices in (1, 2):
        for framework in ("brax", "ksim"):
            name = f"brax_humanoid/{framework}/{devices}"
            lines.append(
                f"| {framework} | {devices} | {speed[name]:,.0f} | {speed[name] / brax_best:.2f} |"
                f" {first[name]:.0f} s |"
            )
    lines += [
        "",
        "## Devices",
        "",
        "`examples.walking_distributed`, simulated devices on the cores of the machine.",
        "",
        "| devices | env-steps/s | to 1 device | rollout's share | first update, cold |",
        "|---|---|---|---|---|",
    ]
    for devices in (1, 2, 4):
        name = f"walking/ksim/{devices}"
        lines.append(
            f"| {devices} | {speed[name]:,.0f} | {speed[name] / speed['walking/ksim/1']:.2f} |"
            f" {results[name]['rollout_fraction']:.0%} | {first[name]:.1f} s |"
        )
    lines += [
        "",
        f"With a warm compilation cache the first update of 2 devices is complete after"
        f" {first['walking/ksim/2/warm']:.1f} s from the start of the process. One environment's"
        f" state takes {results['walking/ksim/1']['bytes_per_environment'] / 1024:.1f} KiB.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    measured = measure_all()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    TABLE.write_text(write_table(measured))
    print(f"Written: {RESULTS.relative_to(ROOT)}, {TABLE.relative_to(ROOT)}")
