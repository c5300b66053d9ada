"""A run of two processes survives the loss of either, and ends as if nothing had happened."""

import os
import re
import signal
import time

import numpy as np
import pytest

from ksim.storage.checkpoint_folder import find_checkpoint
from tests.launch.launching import (
    is_alive,
    output_of,
    pids_of,
    shell_variables,
    start_launcher,
    wait_for,
    wait_for_iterations,
)
from tests.small_cartpole import numbers, read_metrics, small_task, without_times

HEARTBEAT_SECONDS = 10
NUM_ITERATIONS = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def variables(tmp_path_factory):
    return shell_variables(tmp_path_factory.mktemp("cache"))


def options(run_dir, max_steps=NUM_ITERATIONS):
    return [
        f"run_dir={run_dir}",
        f"max_steps={max_steps}",
        "save_every_n_steps=50",
        f"heartbeat_timeout_seconds={HEARTBEAT_SECONDS}",
    ]


@pytest.fixture(scope="module")
def undisturbed(variables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    launcher = start_launcher(variables, folder, *options(folder / "run"))
    assert launcher.wait(timeout=300) == 0
    return folder / "run"


def assert_same_run(run_dir, expected):
    lines, others = read_metrics(run_dir), read_metrics(expected)
    assert [without_times(line) for line in lines] == [without_times(line) for line in others]
    program = small_task(num_devices=1).build()
    target = {
        "train": program.initial_train_state(0),
        "environments": program.new_environments(0),
    }
    ends = [numbers(find_checkpoint(d).restore(target)) for d in (run_dir, expected)]
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        np.testing.assert_array_equal(value, ends[1][name], err_msg=name)


@pytest.mark.parametrize("victim", [1, 0], ids=["worker", "coordinator"])
@pytest.mark.parametrize("fault", ["SIGKILL", "SIGSTOP", "SIGUSR1"])
def test_a_lost_process_is_named_and_the_run_continues(
    fault, victim, variables, undisturbed, tmp_path
):
    run_dir = tmp_path / "run"
    launcher = start_launcher(
        variables, tmp_path, *options(run_dir), options=["--max-restarts", "1"]
    )
    try:
        wait_for_iterations(run_dir, 120, launcher)
        pids = pids_of(launcher)
        assert sorted(pids) == [0, 1]
        began = time.monotonic()
        os.kill(pids[victim], signal.Signals[fault])
        survivor = pids[1 - victim]
        wait_for(lambda: not is_alive(survivor), seconds=HEARTBEAT_SECONDS + 30)
        print(f"{fault} of {victim}: the other ended after {time.monotonic() - began:.1f} s")
        assert launcher.wait(timeout=300) == 0
    finally:
        launcher.kill()
    output = output_of(tmp_path)
    wait_for(lambda: not any(map(is_alive, pids.values())), seconds=10)
    said = {"SIGKILL": "is gone", "SIGSTOP": "has been silent", "SIGUSR1": "failed: Arithmetic"}
    pattern = rf"\[{1 - victim}\] error: Process {victim} \(\S+, pid {pids[victim]}\) {said[fault]}"
    assert re.search(pattern, output), output
    assert "[launch] restart 1 of 1, 2 process(es), from iteration " in output
    assert_same_run(run_dir, undisturbed)


def test_no_process_outlives_a_launcher_that_is_killed(variables, tmp_path):
    run_dir = tmp_path / "run"
    launcher = start_launcher(variables, tmp_path, *options(run_dir, max_steps="null"))
    try:
        wait_for_iterations(run_dir, 1, launcher)
        pids = pids_of(launcher)
    finally:
        launcher.kill()
    launcher.wait()
    wait_for(lambda: not any(map(is_alive, pids.values())), seconds=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("receiver", ["launcher", "process 1"])
def test_a_signal_saves_and_ends_all(number, receiver, variables, tmp_path):
    run_dir = tmp_path / "run"
    launcher = start_launcher(variables, tmp_path, *options(run_dir, max_steps="null"))
    try:
        wait_for_iterations(run_dir, 3, launcher)
        os.kill(launcher.pid if receiver == "launcher" else pids_of(launcher)[1], number)
        assert launcher.wait(timeout=60) == 0
    finally:
        launcher.kill()
    iteration = read_metrics(run_dir)[-1]["iteration"]
    assert f"after {iteration} iterations" in output_of(tmp_path).splitlines()[-1]
    assert find_checkpoint(run_dir).path.name == f"step_{iteration:08d}"
