"""What an extension of PPO remembers, in runs: split over devices, saved, and resumed."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim.rl import Extension
from ksim.storage.checkpoint_folder import find_checkpoint
from ksim.training.run_state import RunState
from tests.small_cartpole import numbers, read_metrics, small_config

NUM_STEPS = 16  # of an iteration


@dataclasses.dataclass(frozen=True)
class Boredom(Extension):
    """Takes from the reward of an environment what it has lived through already."""

    def initial_memory(self, num_envs):
        return {"num_steps": jnp.zeros(num_envs, jnp.int32)}

    def reward(self, state, memory, trajectory, normalizer):
        return jnp.broadcast_to(-0.001 * memory["num_steps"], trajectory.reward.shape)

    def update(self, state, memory, trajectory, normalizer, iteration, key):
        num_steps = memory["num_steps"] + jnp.sum(trajectory.is_valid, axis=0)
        return state, {"num_steps": num_steps}, {"mean": jnp.mean(num_steps * 1.0)}


class BoredTask(ksim.DistributedPPOTask):
    def get_environment(self):
        return ksim.CartPole()

    def get_algorithm(self):
        return dataclasses.replace(super().get_algorithm(), extensions=(Boredom(),))


def train(run_dir, max_steps, num_devices):
    config = small_config(run_dir=str(run_dir), max_steps=max_steps, num_devices=num_devices)
    BoredTask(config).run()
    shapes = RunState.shapes(BoredTask(small_config(num_devices=1)).build())
    return find_checkpoint(run_dir).restore(shapes)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("extension") / "run"
    return run_dir, train(run_dir, 6, num_devices=1)


def test_each_environment_has_its_own(straight):
    run_dir, state = straight
    num_steps = state["memory"]["Boredom"]["num_steps"]
    assert num_steps.shape == (16,) and len(np.unique(num_steps)) > 1
    starts = 6 * NUM_STEPS - num_steps  # steps that only began an episode
    assert np.all(starts >= 1)
    last = read_metrics(run_dir)[-1]
    assert last["extension/Boredom/mean"] == pytest.approx(np.mean(num_steps))


def test_a_stopped_run_goes_on_bit_for_bit(straight, tmp_path):
    train(tmp_path / "run", 3, num_devices=1)
    found = numbers(train(tmp_path / "run", 6, num_devices=1))
    for name, value in numbers(straight[1]).items():
        assert found[name].tobytes() == value.tobytes(), name


def test_a_run_moves_from_four_devices_to_two(straight, tmp_path):
    train(tmp_path / "run", 3, num_devices=4)
    found = numbers(train(tmp_path / "run", 6, num_devices=2))
    for name, value in numbers(straight[1]).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=2e-6, err_msg=name)
