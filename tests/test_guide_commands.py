"""The commands of the distributed training guide, and its first block.

The humanoid is trained by one of them; of the others the training is recorded instead of run, and
the slow tests run every command as it stands.
"""

import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import ksim.training.run
from tests.small_cartpole import read_metrics

REPOSITORY = Path(__file__).parents[1]

TWO_SIMULATED_DEVICES = (
    "XLA_FLAGS='--xla_force_host_platform_device_count=2'"
    " python -m examples.walking_distributed num_envs=8 batch_size=4"
)
SINGLE_DEVICE = "python -m examples.walking_distributed num_envs=8 batch_size=4"
PRODUCTION = "python -m examples.walking_distributed num_envs=32 batch_size=16"
EIGHT_GPUS = "python -m examples.walking_distributed num_envs=64 batch_size=32"


def run_until_first_iteration(command, folder, num_devices=None):
    """Runs a command as it stands, and asks it to stop as soon as it has trained an iteration."""
    words = shlex.split(command)
    variables = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    if num_devices is not None:
        variables["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={num_devices}"
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    variables |= {"PYTHONPATH": f"{REPOSITORY}", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    process = subprocess.Popen(
        [sys.executable, *words[1:]],
        cwd=folder,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    run_dir = folder / "runs" / "humanoid_walking_distributed" / "run_000"
    deadline = time.monotonic() + 500
    while process.poll() is None and time.monotonic() < deadline:
        if (run_dir / "metrics.jsonl").exists() and read_metrics(run_dir):
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.2)
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, output
    return run_dir, output


def test_two_simulated_devices(tmp_path):
    run_dir, output = run_until_first_iteration(TWO_SIMULATED_DEVICES, tmp_path)
    assert "8 environments on 2 cpu device(s)" in output
    assert "The run is in runs/humanoid_walking_distributed/run_000" in output.splitlines()[-1]
    metrics = read_metrics(run_dir)[0]
    assert all(np.isfinite(value) for value in metrics.values())
    assert {"reward/linear_velocity", "reward/upright", "reward/gait"} <= metrics.keys()
    assert {"device/0/reward", "device/1/reward"} <= metrics.keys()
    assert metrics["device/replica_drift"] == 0
    assert (run_dir / "checkpoints").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "num_devices"), [(PRODUCTION, 4), (SINGLE_DEVICE, None), (EIGHT_GPUS, 8)]
)
def test_every_command_trains(command, num_devices, tmp_path):
    run_dir, output = run_until_first_iteration(command, tmp_path, num_devices)
    assert f"environments on {num_devices or 1} cpu device(s)" in output
    warning = "WARNING: Only 1 device detected."
    assert (warning in output) == (num_devices is None)
    assert all(np.isfinite(value) for value in read_metrics(run_dir)[0].values())


@pytest.fixture
def recorded(monkeypatch):
    """Training is not run: what would be trained is here afterwards."""
    programs = []

    def train(program, config, start):
        programs.append(program)

    monkeypatch.setattr(ksim.training.run, "train", train)
    return programs


@pytest.fixture
def only_device(monkeypatch):
    """A machine with one device."""
    device = jax.devices()[0]
    monkeypatch.setattr(jax, "local_devices", lambda: [device])


def run_command(command, monkeypatch):
    """Does what a shell would do with the command, in this process."""
    _, _, module, *arguments = shlex.split(command)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.delitem(sys.modules, module, raising=False)
    runpy.run_module(module, run_name="__main__")


@pytest.mark.parametrize(
    ("command", "num_envs", "batch_size"), [(PRODUCTION, 32, 16), (EIGHT_GPUS, 64, 32)]
)
def test_commands_for_many_devices(command, num_envs, batch_size, recorded, monkeypatch):
    run_command(command, monkeypatch)
    (program,) = recorded
    assert program.partitioner.num_devices == 8
    assert program.num_envs == num_envs
    assert program.algorithm.num_batches == num_envs // batch_size


def test_single_device_fallback(recorded, only_device, monkeypatch, capsys):
    run_command(SINGLE_DEVICE, monkeypatch)
    (program,) = recorded
    assert program.partitioner.num_devices == 1
    assert capsys.readouterr().err == (
        "WARNING: Only 1 device detected."
        " Distributed training will fall back to single-device mode.\n"
    )


def test_basic_usage(recorded, capsys):
    from examples.walking_distributed import (
        HumanoidWalkingDistributedConfig,
        HumanoidWalkingDistributedTask,
    )

    config = HumanoidWalkingDistributedConfig(
        num_envs=16,
        batch_size=8,
        pmap_axis_name="device",
        grad_sync_period=1,
    )

    task = HumanoidWalkingDistributedTask(config)
    task.verify_distributed_setup()
    task.run_distributed_training()

    assert "Device 7: environments 14-15" in capsys.readouterr().out
    (program,) = recorded
    assert program.num_envs == 16
    assert program.partitioner.num_devices == 8
    assert program.partitioner.axis_name == "device"
    assert program.algorithm.synchronisation.period == 1
