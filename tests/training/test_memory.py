"""Memory that outlives episodes: right on any number of devices, saved, and resumed."""

import jax
import numpy as np
import pytest

from ksim.storage.checkpoint_folder import find_checkpoint
from tests.remembering_task import RememberingTask
from tests.small_cartpole import numbers
from tests.small_mujoco_task import SmallMujocoConfig

NUM_ENVS = 16


def make_task(run_dir, num_devices, max_steps, **changes):
    return RememberingTask(
        SmallMujocoConfig(
            run_dir=str(run_dir),
            num_devices=num_devices,
            max_steps=max_steps,
            engine="mujoco",
            num_envs=NUM_ENVS,
            matmul_precision="float32",
            **changes,
        )
    )


def last_state(run_dir):
    """Returns the train state and the environments of the last checkpoint, in global layout."""
    program = make_task(run_dir, 1, 1).build()
    target = {"train": program.train_state_shapes, "environments": program.environment_shapes}
    return find_checkpoint(run_dir).restore(target)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Ten iterations on one device."""
    run_dir = tmp_path_factory.mktemp("memory") / "straight"
    make_task(run_dir, 1, 10).run()
    return run_dir


def memory_of(state, family, name):
    return state["environments"].environment.memories[family][name]


def test_a_memory_counts_the_episodes_of_its_environment(straight):
    state = last_state(straight)
    remembered = memory_of(state, "observations", "episodes")
    ends = state["train"].run_memory["events"]["endings"]
    # Every episode that ended was either taken in when the next began, or that is yet to come.
    waiting = np.sum(state["environments"].is_over)
    assert np.sum(remembered["count"]) + waiting == ends["num_episodes"]
    assert np.sum(remembered["count"]) == np.sum(ends["by_length"])
    # Of those that wait some have moved, some timed out, some both.
    for reason, count in ends["by_reason"].items():
        assert 0 <= count - ends["from_flags"][reason] <= waiting
    assert sum(map(float, ends["by_reason"].values())) >= ends["num_episodes"]
    assert len(np.unique(remembered["count"])) > 1  # environments differ
    assert min(map(float, ends["from_flags"].values())) > 0  # both reasons occurred
    # 10 rollouts of 8 steps of 0.02 s, of which each start of an episode takes one.
    steps = 80 - 1 - remembered["count"]
    in_this_one = state["environments"].episode_length
    has_begun = ~state["environments"].is_over
    expected = 0.02 * (steps - np.where(has_begun, in_this_one, 0))
    finished = remembered["time"] + np.where(has_begun, 0, 0.02 * in_this_one)
    np.testing.assert_allclose(finished, expected, rtol=1e-5)


def test_what_is_drawn_once_stays_and_belongs_to_the_environment(straight, tmp_path):
    biases = memory_of(last_state(straight), "observations", "episodes")["bias"]
    assert len(np.unique(biases)) == NUM_ENVS
    make_task(tmp_path / "short", 8, 1).run()
    first = memory_of(last_state(tmp_path / "short"), "observations", "episodes")["bias"]
    np.testing.assert_array_equal(biases, first)


def test_eight_devices_remember_what_one_does(straight, tmp_path):
    make_task(tmp_path / "eight", 8, 10).run()
    one, eight = last_state(straight), last_state(tmp_path / "eight")
    for name in ("count", "time", "bias"):
        np.testing.assert_allclose(
            memory_of(eight, "observations", "episodes")[name],
            memory_of(one, "observations", "episodes")[name],
            rtol=1e-6,
        )
    jax.tree.map(np.testing.assert_array_equal, eight["train"].run_memory, one["train"].run_memory)
    np.testing.assert_array_equal(eight["environments"].level, one["environments"].level)


def test_a_resumed_run_remembers(straight, tmp_path):
    run_dir = tmp_path / "half"
    make_task(run_dir, 1, 5).run()
    make_task(run_dir, 1, 10).run()
    found, expected = numbers(last_state(run_dir)), numbers(last_state(straight))
    assert any("memories" in name for name in expected)
    assert any("run_memory" in name for name in expected)
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name


def test_levels_of_environments_follow_their_own_episodes(straight):
    state = last_state(straight)
    level = state["environments"].level
    assert len(np.unique(level)) > 1
    # Steps of 1/8 from 1/2 are exact.
    np.testing.assert_array_equal(level * 8, np.round(level * 8))
    assert state["train"].level == pytest.approx(np.mean(level))
    counts = memory_of(state, "observations", "episodes")["count"] + state["environments"].is_over
    assert np.all(np.abs(level - 0.5) <= 0.125 * counts + 1e-6)
