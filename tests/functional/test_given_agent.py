"""Training that goes on with an agent that has learned before."""

import jax
import numpy as np
import pytest

from ksim import CartPole
from ksim.storage.state_leaves import CheckpointMismatchError
from ksim.vibe_rl.algorithms.ppo import PPO, PPOConfig
from ksim.vibe_rl.checkpoint import load_checkpoint, save_checkpoint
from tests.functional.test_train import SMALL, TOLERANCE, TOTAL_ENVS, expect, small_run
from tests.small_cartpole import numbers


def train(agent_state=None, num_updates=2, num_devices=1, **changes):
    state, _ = small_run(
        agent_state=agent_state, num_updates=num_updates, num_devices=num_devices, **changes
    )
    return state.agent_state


@pytest.fixture(scope="module")
def trained():
    return train(num_updates=3, learning_rate_schedule="linear")


def test_it_keeps_what_it_has_learned(trained):
    before = numbers(trained)
    after = train(trained, learning_rate=1e-9)
    for name, value in numbers(after.params).items():
        np.testing.assert_allclose(value, numbers(trained.params)[name], atol=1e-6, err_msg=name)
    steps = [state.normalizer.count for state in (trained, after)]
    assert steps[0] > 2 * TOTAL_ENVS * SMALL["n_steps"]
    assert steps[1] == pytest.approx(float(steps[0]) * 5 / 3, rel=0.05)  # and not 2 updates' alone
    # The agent that was given is still there, and the same.
    for name, value in numbers(trained).items():
        assert value.tobytes() == before[name].tobytes(), name


def test_its_schedule_begins_anew(trained):
    assert trained.learner.learning_rate_scale < 0.5
    again = train(trained)
    assert again.learner.learning_rate_scale == 1.0


def test_an_agent_that_has_learned_nothing_is_the_beginning():
    config = PPOConfig(**SMALL)
    one, other = (PPO.init(jax.random.key(n), env=CartPole(), config=config) for n in range(2))
    of_one, again, of_other = (numbers(train(agent)) for agent in (one, one, other))
    assert all(of_one[name].tobytes() == again[name].tobytes() for name in of_one)
    assert any(of_one[name].tobytes() != of_other[name].tobytes() for name in of_one)


def test_the_device_count_does_not_change_the_result(trained):
    expected = numbers(train(trained))
    for name, value in numbers(train(trained, num_devices=2)).items():
        np.testing.assert_allclose(value, expected[name], **TOLERANCE, err_msg=name)


def test_it_is_read_from_a_checkpoint(trained, tmp_path):
    path = save_checkpoint(tmp_path / "pole", trained)
    template = PPO.init(jax.random.key(1), env=CartPole(), config=PPOConfig(**SMALL))
    expected = numbers(train(trained))
    for name, value in numbers(train(load_checkpoint(path, template))).items():
        assert value.tobytes() == expected[name].tobytes(), name


def test_another_network_is_refused(trained):
    with pytest.raises(CheckpointMismatchError, match=r"The agent_state does not fit"):
        train(trained, hidden_sizes=(8,))


def test_what_is_no_agent_is_refused():
    expect(TypeError, "agent_state must be the agent_state of what train_ppo", agent_state=object())
