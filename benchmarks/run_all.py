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
ENGINES = ("mjx", "mujoco")
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


def ksim(task: str, engine: str, devices: int, *arguments: str) -> list[str]:
    """Returns the command that measures ksim."""
    options = [f"engine={engine}", f"num_devices={devices}", f"max_steps={KSIM_ITERATIONS}"]
    return [sys.executable, "-m", "benchmarks.ksim_ppo", task, *options, *arguments]


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
            for engine in ENGINES:
                name = f"brax_humanoid/{engine}/{devices}"
                command = ksim("brax_humanoid", engine, devices, mjcf)
                results[name] = run(command, f"{cache}/{name}")
        for engine in ENGINES:
            for devices in (1, 2, 4):
                name = f"walking/{engine}/{devices}"
                results[name] = run(ksim("walking", engine, devices), f"{cache}/{name}")
            name = f"walking/{engine}/2"
            results[f"{name}/warm"] = run(ksim("walking", engine, 2), f"{cache}/{name}")
            one_core = ["taskset", "--cpu-list", "0", *ksim("walking", engine, 1)]
            results[f"walking/{engine}/1/one_core"] = run(one_core, f"{cache}/one_core/{engine}")
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
    versions = results["walking/mjx/1"]["versions"]
    lines = [
        "# Performance",
        "",
        "Written by `make bench`, from one run on one machine. Absolute figures are that",
        "machine's; the ratios are what can be compared. Every figure is whole training: rollout,",
        "update and logging, without compilation and evaluation. `mjx` and `mujoco` are ksim's",
        "engines; devices are simulated ones, on the cores of the machine.",
        "",
        f"Machine: {machine['cores']} {machine['processor']} cores, {machine['system']}, Python"
        f" {machine['python']}, {machine['date']}. ksim on jax {versions['jax']}, mujoco-mjx"
        f" {versions['mujoco-mjx']}; brax {brax_versions['brax']} on jax {brax_versions['jax']},"
        f" mujoco-mjx {brax_versions['mujoco-mjx']}.",
        "",
        "## Beside brax",
        "",
        "brax's own humanoid MJCF and physics settings, 128 environments, rollouts of 20 control",
        "steps, 4 passes over 4 minibatches, two networks of 256x256, the same observations and",
        "rewards.",
        "",
        "| | devices | env-steps/s | to brax's best | rollout's share | first update, cold |",
        "|---|---|---|---|---|---|",
    ]
    for devices in (1, 2):
        for framework in ("brax", *ENGINES):
            name = f"brax_humanoid/{framework}/{devices}"
            label = "brax" if framework == "brax" else f"ksim, {framework}"
            share = results[name].get("rollout_fraction")
            lines.append(
                f"| {label} | {devices} | {speed[name]:,.0f} | {speed[name] / brax_best:.2f} |"
                f" {'' if share is None else f'{share:.0%}'} | {first[name]:.0f} s |"
            )
    lines += [
        "",
        "## Devices",
        "",
        "`examples.walking_distributed`. One device already spreads large products over all cores,",
        "so the row of one core is what several devices are compared with.",
        "",
        "| engine | devices | env-steps/s | to 1 device | to 1 core | rollout's share"
        " | first update, cold |",
        "|---|---|---|---|---|---|---|",
    ]
    for engine in ENGINES:
        for label, key in (("1, one core", "1/one_core"), *((str(n), str(n)) for n in (1, 2, 4))):
            name = f"walking/{engine}/{key}"
            lines.append(
                f"| {engine} | {label} | {speed[name]:,.0f} |"
                f" {speed[name] / speed[f'walking/{engine}/1']:.2f} |"
                f" {speed[name] / speed[f'walking/{engine}/1/one_core']:.2f} |"
                f" {results[name]['rollout_fraction']:.0%} | {first[name]:.1f} s |"
            )
    size = results["walking/mjx/1"]["bytes_per_environment"] / 1024
    native_size = results["walking/mujoco/1"]["bytes_per_environment"] / 1024
    lines += [
        "",
        "With a warm compilation cache the first update of 2 devices is complete"
        f" {first['walking/mjx/2/warm']:.1f} s (mjx) and {first['walking/mujoco/2/warm']:.1f} s"
        " (mujoco) after the start of the process. One environment's state takes"
        f" {size:.1f} KiB (mjx) and {native_size:.1f} KiB (mujoco).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    measured = measure_all()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    TABLE.write_text(write_table(measured))
    print(f"Written: {RESULTS.relative_to(ROOT)}, {TABLE.relative_to(ROOT)}")
