"""Contract of algorithms: one that learns from a replay memory is trained, saved and moved."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.config import ConfigError
from ksim.rl import Algorithm
from ksim.rl.algorithm import check_memory
from ksim.storage.checkpoint_folder import find_checkpoint
from ksim.training.run_state import RunState
from tests.launch.launching import (
    REPOSITORY,
    output_of,
    shell_variables,
    start_launcher,
    wait_for_iterations,
)
from tests.q_learning_task import (
    CAPACITY,
    GAMMA,
    NUM_ACTING_ONLY,
    QLearning,
    QLearningConfig,
    QLearningTask,
)
from tests.small_cartpole import numbers, read_metrics, without_times

MODULE = "tests.q_learning_task"
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
NUM_STEPS = 16  # of an iteration


def task(run_dir, max_steps, num_devices=1, **changes):
    return QLearningTask(
        QLearningConfig(
            run_dir=str(run_dir), max_steps=max_steps, num_devices=num_devices, **changes
        )
    )


def last_state(run_dir):
    """Returns everything that the last checkpoint holds, in the global layout."""
    program = QLearningTask(QLearningConfig(num_devices=1)).build()
    return find_checkpoint(run_dir).restore(RunState.shapes(program))


def assert_bit_identical(run_dir, expected_dir):
    found, expected = numbers(last_state(run_dir)), numbers(last_state(expected_dir))
    assert any("memory" in name and "next_observation" in name for name in expected)
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name


def assert_close(run_dir, expected_dir):
    found, expected = numbers(last_state(run_dir)), numbers(last_state(expected_dir))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **TOLERANCE, err_msg=name)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Twelve iterations on one device, of which the first only act."""
    run_dir = tmp_path_factory.mktemp("off_policy") / "straight"
    task(run_dir, 12).run()
    return run_dir


def test_it_learns(tmp_path):
    """A policy at random returns about 22, and the best one 500."""
    result = task(tmp_path / "run", 200).run()
    assert result.iteration == 200
    assert read_metrics(tmp_path / "run")[-1]["eval/episode/return"] > 100


def test_nothing_is_learned_before_there_is_enough_to_learn_from(straight, tmp_path):
    task(tmp_path / "acting", NUM_ACTING_ONLY).run()
    state = last_state(tmp_path / "acting")
    program = QLearningTask(QLearningConfig(num_devices=1)).build()
    first = numbers(program.initial_train_state(0).learner)
    for name, value in numbers(state["train"].learner).items():
        np.testing.assert_array_equal(value, first[name], err_msg=name)
    assert np.all(state["memory"]["num_seen"] == NUM_ACTING_ONLY * NUM_STEPS)
    learned = [line.get("loss/q") for line in read_metrics(straight)]
    assert learned[:NUM_ACTING_ONLY] == [None] * NUM_ACTING_ONLY
    assert all(loss > 0 for loss in learned[NUM_ACTING_ONLY:])


def test_the_memory_holds_what_each_environment_went_through(straight):
    state = last_state(straight)
    memory, steps = state["memory"], state["memory"]["steps"]
    num_seen = 12 * NUM_STEPS
    assert np.all(memory["num_seen"] == num_seen) and num_seen < CAPACITY
    assert steps["observation"].shape == (16, CAPACITY, 4)
    assert not np.any(steps["observation"][:, num_seen:])
    before, after = steps["observation"][:, :num_seen], steps["next_observation"][:, :num_seen]
    np.testing.assert_array_equal(before[:, 1:], after[:, :-1])
    np.testing.assert_array_equal(after[:, -1], state["environments"].observations["state"])
    # An episode fails where the pole leans more than 12 degrees; the step after it starts another.
    has_failed = steps["discount"][:, :num_seen] == 0
    assert has_failed.any()
    is_valid = steps["is_valid"][:, :num_seen]
    leans = np.abs(after[..., 2]) > np.radians(12)
    np.testing.assert_array_equal(has_failed, leans & is_valid)
    np.testing.assert_array_equal(~is_valid[:, 1:], has_failed[:, :-1])
    assert np.all(steps["discount"][:, :num_seen][~has_failed] == np.float32(GAMMA))


@pytest.mark.parametrize(
    ("num_devices", "partitioner"),
    [(2, "pmap"), (4, "pmap"), (4, "shard_map")],
)
def test_the_number_of_devices_changes_nothing(num_devices, partitioner, straight, tmp_path):
    task(tmp_path / "run", 12, num_devices, partitioner=partitioner).run()
    assert_close(tmp_path / "run", straight)
    for line, other in zip(read_metrics(tmp_path / "run"), read_metrics(straight), strict=True):
        for name, value in without_times(other).items():
            np.testing.assert_allclose(line[name], value, **TOLERANCE, err_msg=name)


def test_the_number_of_processes_changes_nothing(straight, tmp_path):
    launcher = start_launcher(
        shell_variables(tmp_path / "cache"),
        tmp_path,
        f"run_dir={tmp_path / 'run'}",
        "max_steps=12",
        module=MODULE,
        task_arguments=(),
    )
    try:
        assert launcher.wait(timeout=300) == 0, output_of(tmp_path)
    finally:
        launcher.kill()
    assert_close(tmp_path / "run", straight)


def test_a_stopped_run_goes_on_bit_for_bit(straight, tmp_path):
    task(tmp_path / "run", 7).run()
    task(tmp_path / "run", 12).run()
    assert_bit_identical(tmp_path / "run", straight)


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    options = ["max_steps=400", "save_every_n_steps=20", "num_devices=1"]
    command = [sys.executable, "-m", MODULE, *options]
    variables = shell_variables(tmp_path / "cache") | {"PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen(
        [*command, f"run_dir={cut}"], env=variables, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_iterations(cut, 60, running)
        os.kill(running.pid, signal.SIGKILL)
        assert running.wait(timeout=60) == -signal.SIGKILL
    finally:
        running.kill()
    assert find_checkpoint(cut).step < 400
    for run_dir in (cut, whole):
        subprocess.run([*command, f"run_dir={run_dir}"], env=variables, check=True)
    assert_bit_identical(cut, whole)


def test_a_run_moves_from_four_devices_to_two(straight, tmp_path):
    task(tmp_path / "run", 7, num_devices=4).run()
    task(tmp_path / "run", 12, num_devices=2).run()
    assert_close(tmp_path / "run", straight)


class ForgetfulTask(QLearningTask):
    """The same networks, and nothing to remember."""

    def get_algorithm(self):
        class Forgetful(QLearning):
            initial_memory, remember = Algorithm.initial_memory, Algorithm.remember

            def update(self, learner, memory, trajectory, normalizer, iteration, key):
                return learner, memory, {}

        return Forgetful(self.get_synchronisation())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            QLearningTask,
            ForgetfulTask,
            r"memory/num_seen: expected no such leaf, found int32\[16\]",
        ),
        (
            ForgetfulTask,
            QLearningTask,
            r"memory/num_seen: expected int32\[16\], found no such leaf",
        ),
    ],
)
def test_a_memory_is_not_left_behind(before, after, message, tmp_path):
    before(QLearningConfig(num_devices=1, max_steps=1, run_dir=str(tmp_path / "a"))).run()
    config = QLearningConfig(
        num_devices=1,
        max_steps=2,
        run_dir=str(tmp_path / "b"),
        load_from_ckpt_path=str(tmp_path / "a"),
    )
    with pytest.raises(ConfigError, match=message):
        after(config).run()


def test_a_memory_begins_with_the_axis_of_environments(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Shared(QLearning):
        def initial_memory(self, environment, num_envs):
            return {"pool": jnp.zeros((100, 4)), "seen": jnp.zeros(num_envs)}

    class SharedTask(QLearningTask):
        def get_algorithm(self):
            return Shared(self.get_synchronisation())

    message = r"Shared.initial_memory: .*\['pool'\] is \[100, 4\] with num_envs=16. Write jnp.zeros"
    with pytest.raises(ValueError, match=message):
        SharedTask(QLearningConfig(num_devices=1, max_steps=1, run_dir=str(tmp_path / "r"))).run()
    with pytest.raises(ValueError, match=r"and it is \[\] with num_envs=3"):
        check_memory(Shared(None), jax.ShapeDtypeStruct((), jnp.float32), 3)


def test_verify_counts_the_memory(tmp_path, capsys):
    task(tmp_path / "run", 1, run_mode="verify").run()
    # Of each environment 1024 transitions of 4 + 4 + 4 * 1 numbers and a flag, and a counter.
    size = 16 * (1024 * (4 * (4 + 4 + 3) + 1) + 4)
    assert f"{size / 1000:.0f} kB what the algorithm remembers" in capsys.readouterr().out


def test_the_run_can_be_looked_at(straight):
    looking = QLearningTask(
        QLearningConfig(run_mode="evaluate", load_from_ckpt_path=str(straight), num_devices=1)
    )
    assert looking.run()["eval/episode/return"] > 0
    assert json.loads((straight / "metrics.jsonl").read_text().splitlines()[0])["iteration"] == 1
