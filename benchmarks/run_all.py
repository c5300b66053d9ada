"""Runs every benchmark and writes the results and the table in docs/performance.md.

    python -m benchmarks.run_all

Give it the machine to itself. Every measurement is a process of its own, one after the other;
ksim and brax alternate, so that a machine whose speed drifts favours neither.
"""

import datetime
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from typing import Any

from benchmarks.brax_environment import ensure_brax_python
from benchmarks.brax_humanoid import brax_humanoid_mjcf
from benchmarks.marked_table import replace_table
from benchmarks.training_run import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "training_speed.json"
TABLE = ROOT / "docs" / "performance.md"
ENGINES = ("mjx", "mujoco")
PRECISIONS = ("float32", "bfloat16")
KSIM_ITERATIONS = 25
BRAX_EPOCHS, BRAX_ITERATIONS = 3, 18

Result = dict[str, Any]


def run(command: list[str], cache: str | None) -> Result:
    """Runs a measurement in a process of its own.

    Args:
      command: the command; its last line of output is one JSON object.
      cache: directory of the compilation cache; `None` compiles without a cache.

    Returns:
      The object.

    Raises:
      RuntimeError: if the command failed; its output says why.
    """
    print("$", " ".join(command), flush=True)
    ours_to_set = {"XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"}
    environment = {key: value for key, value in os.environ.items() if key not in ours_to_set}
    if cache is not None:
        environment["XDG_CACHE_HOME"] = cache
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    print(f"  {result['env_steps_per_second']:,.0f} env-steps/s", end="")
    if "first_update_seconds" in result:
        print(f", first update after {result['first_update_seconds']:.1f} s", end="")
    print(flush=True)
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
            for engine, precision in itertools.product(ENGINES, PRECISIONS):
                name = f"brax_humanoid/{engine}, {precision}/{devices}"
                options = [mjcf, f"matmul_precision={precision}"]
                command = ksim("brax_humanoid", engine, devices, *options)
                results[name] = run(command, f"{cache}/{name.replace(', ', '/')}")
        for engine in ENGINES:
            for devices in (1, 2, 4):
                name = f"walking/{engine}/{devices}"
                results[name] = run(ksim("walking", engine, devices), f"{cache}/{name}")
            name = f"walking/{engine}/2"
            results[f"{name}/warm"] = run(ksim("walking", engine, 2), f"{cache}/{name}")
            one_core = ["taskset", "--cpu-list", "0", *ksim("walking", engine, 1)]
            results[f"walking/{engine}/1/one_core"] = run(one_core, f"{cache}/one_core/{engine}")
        results["native_loop"] = run([sys.executable, "-m", "benchmarks.native_loop"], None)
    return {"machine": describe_machine(), "results": results}


def describe_machine() -> dict[str, Any]:
    """Returns the facts of the machine on which the figures depend."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def describe_versions(measured: Result) -> str:
    """Returns the machine and the versions of the measurement, in words."""
    machine, results = measured["machine"], measured["results"]
    brax, ksim_versions = (
        results[name]["versions"] for name in ("brax_humanoid/brax/1", "walking/mjx/1")
    )
    return (
        f"Machine: {machine['cores']} {machine['processor']} cores, {machine['system']}, Python"
        f" {machine['python']}, {machine['date']}. ksim on jax {ksim_versions['jax']}, mujoco-mjx"
        f" {ksim_versions['mujoco-mjx']}; brax {brax['brax']} on jax {brax['jax']}, mujoco-mjx"
        f" {brax['mujoco-mjx']}."
    )


def brax_table(results: dict[str, Result]) -> str:
    """Returns a table of ksim beside brax, in Markdown."""
    lines = [
        "| | devices | env-steps/s | to brax's best | rollout's share | first update, cold |",
        "|---|---|---|---|---|---|",
    ]
    best = max(results[f"brax_humanoid/brax/{count}"]["env_steps_per_second"] for count in (1, 2))
    for devices in (1, 2):
        variants = (f"{engine}, {name}" for engine in ENGINES for name in PRECISIONS)
        for framework in ("brax", *variants):
            result = results[f"brax_humanoid/{framework}/{devices}"]
            speed, share = result["env_steps_per_second"], result.get("rollout_fraction")
            lines.append(
                f"| {'brax' if framework == 'brax' else f'ksim, {framework}'} | {devices} |"
                f" {speed:,.0f} | {speed / best:.2f} | {'' if share is None else f'{share:.0%}'} |"
                f" {result['first_update_seconds']:.0f} s |"
            )
    return "\n".join(lines)


def devices_table(results: dict[str, Result]) -> str:
    """Returns a table of the walking task on different numbers of devices, in Markdown."""
    lines = [
        "| engine | devices | env-steps/s | to 1 device | to 1 core | rollout's share"
        " | first update, cold |",
        "|---|---|---|---|---|---|---|",
    ]
    for engine in ENGINES:
        one, core = (
            results[f"walking/{engine}/{key}"]["env_steps_per_second"]
            for key in ("1", "1/one_core")
        )
        for label, key in (("1, one core", "1/one_core"), *((str(n), str(n)) for n in (1, 2, 4))):
            result = results[f"walking/{engine}/{key}"]
            speed = result["env_steps_per_second"]
            lines.append(
                f"| {engine} | {label} | {speed:,.0f} | {speed / one:.2f} | {speed / core:.2f} |"
                f" {result['rollout_fraction']:.0%} | {result['first_update_seconds']:.1f} s |"
            )
    return "\n".join(lines)


def rollout_limit(results: dict[str, Result]) -> str:
    """Returns the speed of rollouts relative to MuJoCo alone, in words."""
    loop = results["native_loop"]["env_steps_per_second"]
    shares = {
        count: results[f"walking/mujoco/{count}"]["rollout_env_steps_per_second"] / loop
        for count in (1, 2)
    }
    return (
        f"A bare loop over `mujoco.batch` with the same robot, servos and number of simulations"
        f" makes {loop:,.0f} control steps/s. Rollouts of native physics, with policy, terms and"
        f" resets, reach {shares[1]:.0%} of it on 1 device and {shares[2]:.0%} on 2. It can be more"
        " than all of it: the loop's robots follow random targets, and do other things than those"
        " of a policy."
    )


def start_up(results: dict[str, Result]) -> str:
    """Returns the time of a warm start and the memory of an environment, in words."""
    warm = {name: results[f"walking/{name}/2/warm"]["first_update_seconds"] for name in ENGINES}
    size = {name: results[f"walking/{name}/1"]["bytes_per_environment"] / 1024 for name in ENGINES}
    return (
        "With a warm compilation cache the first update of 2 devices is complete"
        f" {warm['mjx']:.1f} s (mjx) and {warm['mujoco']:.1f} s (mujoco) after the start of the"
        f" process. One environment's state takes {size['mjx']:.1f} KiB (mjx) and"
        f" {size['mujoco']:.1f} KiB (mujoco)."
    )


def main() -> None:
    """Measures everything and writes the results."""
    measured = measure_all()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n")
    replace_table(TABLE, "machine", describe_versions(measured))
    replace_table(TABLE, "brax", brax_table(measured["results"]))
    replace_table(TABLE, "devices", devices_table(measured["results"]))
    replace_table(TABLE, "limit", rollout_limit(measured["results"]))
    replace_table(TABLE, "start-up", start_up(measured["results"]))
    print(f"Written: {RESULTS.relative_to(ROOT)}, {TABLE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
