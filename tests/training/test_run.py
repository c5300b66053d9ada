"""What a run leaves behind, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from examples.cartpole import CartPoleConfig, CartPoleTask
from ksim import CartPole
from ksim.config import parse_command_line
from ksim.storage.checkpoint_folder import list_checkpoints
from tests.small_cartpole import (
    SMALL_ARGUMENTS,
    read_metrics,
    small_task,
    tensorboard_scalars,
)

REPOSITORY = Path(__file__).parents[2]
ARGUMENTS = [*SMALL_ARGUMENTS, "num_devices=2"]


@pytest.fixture(scope="module")
def environment_variables(tmp_path_factory):
    """Those of a shell in which nobody has set anything up; compiled programs are shared."""
    ours = ("XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL")  # JAX sets the latter when it is imported
    variables = {name: value for name, value in os.environ.items() if name not in ours}
    cache = tmp_path_factory.mktemp("cache")
    return variables | {"PYTHONPATH": f"{REPOSITORY}", "XDG_CACHE_HOME": f"{cache}"}


@pytest.fixture(scope="module")
def finished(environment_variables, tmp_path_factory):
    """The cart-pole from the command line, three iterations: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    arguments = [*ARGUMENTS, "max_steps=3", "eval_every_n_steps=2", "save_every_n_steps=2"]
    output = subprocess.run(
        [sys.executable, "-m", "examples.cartpole", *arguments],
        cwd=folder,
        env=environment_variables,
        check=True,
        text=True,
        capture_output=True,
    ).stdout
    return folder / "runs" / "cart_pole" / "run_000", output


def test_the_terminal_names_phases_progress_and_the_run(finished):
    run_dir, output = finished
    phases = ("tracing the rollout", "tracing the update", "compiling the rollout and the update")
    positions = [output.index(phase) for phase in phases]
    assert positions == sorted(positions)
    assert "16 environments on 2 cpu device(s), 16 control steps in an iteration." in output
    assert "iteration 1/3  env-steps/s " in output
    last = output.splitlines()[-1]
    assert last.startswith("Finished after 3 iterations, evaluation return ")
    assert last.endswith(f"The run is in {run_dir.relative_to(run_dir.parents[2])}")


def test_the_files_of_a_run(finished):
    run_dir, output = finished
    names = ["checkpoints", "config.yaml", "log.txt", "metrics.jsonl", "tensorboard"]
    names.append("workload.json")
    assert sorted(path.name for path in run_dir.iterdir()) == names
    checkpoints = [path.name for path in list_checkpoints(run_dir / "checkpoints")]
    assert checkpoints == ["step_00000002", "step_00000003"]
    log = (run_dir / "log.txt").read_text()
    for line in output.splitlines():
        assert line in log


def test_a_start_from_the_cache_alarms_nobody(finished, environment_variables, tmp_path):
    arguments = [*ARGUMENTS, "max_steps=1"]
    ended = subprocess.run(
        [sys.executable, "-m", "examples.cartpole", *arguments],
        cwd=tmp_path,
        env=environment_variables,
        check=True,
        text=True,
        capture_output=True,
    )
    assert ended.stderr == ""


def test_the_config_gives_the_same_run_again(finished):
    run_dir, _ = finished
    arguments = [*ARGUMENTS, "max_steps=3", "eval_every_n_steps=2", "save_every_n_steps=2"]
    expected = parse_command_line(CartPoleConfig(), arguments)
    assert parse_command_line(CartPoleConfig(), [f"{run_dir}/config.yaml"]) == expected


def test_one_line_of_metrics_for_each_iteration(finished):
    lines = read_metrics(finished[0])
    assert [line["iteration"] for line in lines] == [1, 2, 3]
    assert [line["env_steps"] for line in lines] == [256, 512, 768]  # 16 environments * 16 steps
    seconds = [line["wall_seconds"] for line in lines]
    assert 0 < seconds[0] < seconds[1] < seconds[2]
    always = {
        *("reward/total", "episode/count", "loss/policy", "loss/value", "loss/entropy"),
        *("policy/kl", "policy/clip_fraction", "throughput/env_steps_per_second"),
        *("time/rollout_seconds", "time/update_seconds", "device/replica_drift"),
        *("device/0/reward", "device/1/reward", "curriculum/level"),
    }
    of_episodes = {f"termination/{name}" for name in ("fallen", "left_track", "time_out")}
    of_episodes |= {"episode/return", "episode/length"}
    for line in lines:
        assert always <= line.keys()
        assert (of_episodes <= line.keys()) == (line["episode/count"] > 0)
        assert ("time/first_update_seconds" in line) == (line["iteration"] == 1)
        # Every second iteration, and the last one.
        assert ("eval/episode/return" in line) == (line["iteration"] in (2, 3))
    assert any(line["episode/count"] for line in lines)


def test_tensorboard_has_the_same_names_and_numbers(finished):
    run_dir, _ = finished
    scalars = tensorboard_scalars(run_dir / "tensorboard")
    found = {(tag, step): value for tag, step, value in scalars}
    expected = {
        (name, line["iteration"]): np.float32(value)
        for line in read_metrics(run_dir)
        for name, value in line.items()
        if name not in ("iteration", "wall_seconds")
    }
    assert found == expected


def wait_for_metrics(process, run_dir, num_lines):
    deadline = time.monotonic() + 120
    while not (run_dir / "metrics.jsonl").exists() or len(read_metrics(run_dir)) < num_lines:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_the_run_and_it_goes_on(number, environment_variables, tmp_path):
    run_dir = tmp_path / "run"
    arguments = [*ARGUMENTS, f"run_dir={run_dir}", "max_steps=null"]
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.cartpole", *arguments],
        env=environment_variables,
        text=True,
        stdout=subprocess.PIPE,
    )
    wait_for_metrics(process, run_dir, num_lines=3)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    iteration = read_metrics(run_dir)[-1]["iteration"]
    assert iteration >= 3
    assert "Stopping after this iteration; press Ctrl-C again to stop at once." in output
    assert output.splitlines()[-1] == (
        f"Stopped ({number.name}) after {iteration} iterations. The run is in {run_dir}"
    )
    (checkpoint,) = list_checkpoints(run_dir / "checkpoints")
    assert checkpoint.name == f"step_{iteration:08d}"

    result = small_task(num_devices=2, run_dir=str(run_dir), max_steps=iteration + 2).run()
    assert result.iteration == iteration + 2
    iterations = [line["iteration"] for line in read_metrics(run_dir)]
    assert iterations == list(range(1, iteration + 3))


class NanAfterTwentySteps(CartPole):
    """Rewards break in the second iteration of 16 steps, for every pole that still stands."""

    def step(self, state, action, key):
        state, timestep = super().step(state, action, key)
        reward = jnp.where(state.num_steps > 20, jnp.nan, timestep.reward)
        return state, timestep.replace(reward=reward)


class BrokenTask(CartPoleTask):
    def get_environment(self):
        return NanAfterTwentySteps()


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(tmp_path):
    arguments = [*ARGUMENTS, f"run_dir={tmp_path}/run", "save_every_n_steps=1", "max_steps=5"]
    with pytest.raises(FloatingPointError) as error:
        BrokenTask.launch(CartPoleConfig(), arguments)
    message = str(error.value)
    assert message.startswith("Iteration 2: ")
    assert "loss/value" in message and "the last checkpoint is from before" in message
    names = [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")]
    assert names == ["step_00000001"]
    assert [line["iteration"] for line in read_metrics(tmp_path / "run")] == [1]


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    small_task(
        num_devices=2,
        run_dir=f"{tmp_path}/run",
        max_steps=5,
        save_every_n_steps=1,
        keep_checkpoints=2,
    ).run()
    names = [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")]
    assert names == ["step_00000004", "step_00000005"]


def test_a_run_without_periodic_checkpoints_saves_its_end(tmp_path):
    never = {"save_every_n_steps": None, "save_every_n_seconds": None}
    small_task(num_devices=2, run_dir=f"{tmp_path}/run", max_steps=2, **never).run()
    names = [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")]
    assert names == ["step_00000002"]


def test_checkpoints_by_the_clock(tmp_path):
    seconds = {"save_every_n_steps": None, "save_every_n_seconds": 1e-9}
    small_task(num_devices=2, run_dir=f"{tmp_path}/run", max_steps=3, **seconds).run()
    assert len(list_checkpoints(tmp_path / "run" / "checkpoints")) == 3
