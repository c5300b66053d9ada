"""Training by a function: any environment, any number of devices, nothing written."""

import dataclasses
import inspect
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim import CartPole
from ksim.envs import AutoResetWrapper
from ksim.functional import PPOConfig, RunnerConfig, train_ppo
from ksim.functional.environment_task import EnvironmentTask
from ksim.functional.interface import EnvParams
from ksim.functional.joined_observations import JoinedObservations
from ksim.parallel import has_shards
from ksim.vibe_rl.env import make
from tests.small_cartpole import numbers
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

SMALL = {"n_steps": 16, "n_minibatches": 4, "n_epochs": 2, "hidden_sizes": (16,)}
TOTAL_ENVS = 8
# As in tests/training/devices/test_invariance.py: some numbers are sums that nearly cancel.
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


def small_run(
    env=None, num_devices=2, num_updates=3, runner_options=None, agent_state=None, **changes
):
    """Trains in TOTAL_ENVS environments, however many devices they are on."""
    env = CartPole() if env is None else env
    runner_config = RunnerConfig(
        total_timesteps=num_updates * TOTAL_ENVS * 16,
        num_envs=TOTAL_ENVS // num_devices,
        num_devices=num_devices,
        **(runner_options or {}),
    )
    return train_ppo(
        env,
        ppo_config=PPOConfig(**(SMALL | changes)),
        runner_config=runner_config,
        agent_state=agent_state,
    )


def assert_same(found, expected, **tolerance):
    found, expected = numbers(found), numbers(expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **tolerance, err_msg=name)


@pytest.fixture(scope="module")
def runs():
    """The same environments on 1, 2, 4 and 8 devices, for 10 updates."""
    return {count: small_run(num_devices=count, num_updates=10) for count in (1, 2, 4, 8)}


@pytest.mark.parametrize("num_devices", [2, 4, 8])
def test_the_device_count_does_not_change_the_result(runs, num_devices):
    (state, history), (expected_state, expected_history) = runs[num_devices], runs[1]
    assert_same(history, expected_history, equal_nan=True, **TOLERANCE)
    assert_same(state.agent_state, expected_state.agent_state, **TOLERANCE)


@pytest.mark.parametrize("fsdp_devices", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_devices_that_share_parameters_learn_the_same(runs, fsdp_devices):
    options = {"fsdp_devices": fsdp_devices, "fsdp_min_size_mbytes": 0.0}
    runner_config = RunnerConfig(num_devices=4, num_envs=2, **options)
    task = EnvironmentTask(JoinedObservations(CartPole()), PPOConfig(**SMALL), runner_config)
    assert has_shards(task.build().state_specs)
    state, history = small_run(num_devices=4, num_updates=10, runner_options=options)
    expected_state, expected_history = runs[1]
    assert_same(history, expected_history, equal_nan=True, **TOLERANCE)
    # Whole parameters come back: those of one device.
    assert_same(state.agent_state, expected_state.agent_state, **TOLERANCE)


def test_the_history_has_a_number_for_every_update(runs):
    _, history = runs[1]
    names = {field.name for field in dataclasses.fields(history)}
    assert names >= {"total_loss", "actor_loss", "critic_loss", "entropy", "approx_kl"}
    for name in names:
        assert getattr(history, name).shape == (10,)
    # L = L_policy + value_coef L_V - entropy_coef H
    expected = history.actor_loss + 0.5 * history.critic_loss - 0.005 * history.entropy
    np.testing.assert_allclose(history.total_loss, expected, rtol=1e-4, atol=1e-6)
    assert np.all(history.approx_kl > 0)
    # Two actions have at most ln 2 = 0.693 nats. The pole earns 1 in each step of an episode.
    assert np.all(history.entropy <= 0.6932)
    np.testing.assert_array_equal(history.episode_return, history.episode_length)
    assert np.nanmin(history.episode_length) >= 8


def test_the_state_is_one_copy_of_everything(runs):
    state, _ = runs[4]
    kernel = state.agent_state.params["actor"]["hidden_0"]["kernel"]
    assert kernel.shape == (4, 16)
    assert state.obs.shape == (TOTAL_ENVS, 4)
    np.testing.assert_array_equal(state.env_state.env_id, np.arange(TOTAL_ENVS))
    assert jax.dtypes.issubdtype(state.rng.dtype, jax.dtypes.prng_key)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


def test_num_envs_is_per_device_and_what_is_no_whole_update_is_left_out():
    # One update is 2 devices * 4 environments * 16 steps = 128; 2 * 128 = 256 <= 383 < 384.
    runner_config = RunnerConfig(total_timesteps=383, num_envs=4, num_devices=2)
    state, history = train_ppo(
        CartPole(), ppo_config=PPOConfig(**SMALL), runner_config=runner_config
    )
    assert history.total_loss.shape == (2,)
    assert state.obs.shape == (8, 4)


def test_without_num_devices_all_are_used(capsys):
    train_ppo(
        CartPole(), ppo_config=PPOConfig(**SMALL), runner_config=RunnerConfig(total_timesteps=128)
    )
    assert "Training in CartPole: 8 environments on 8 cpu device(s)" in capsys.readouterr().out


def test_the_seed_decides(runs):
    def curve(seed):
        options = {"seed": seed}
        return small_run(num_devices=1, num_updates=2, runner_options=options)[1].total_loss

    expected = runs[1][1].total_loss[:2]  # of seed 0
    np.testing.assert_array_equal(curve(0), expected)
    assert np.all(curve(1) != expected)


def test_an_environment_may_be_wrapped_or_not():
    plain, wrapped = small_run(), small_run(AutoResetWrapper(CartPole()))
    assert_same(wrapped[1], plain[1])
    assert_same(wrapped[0].agent_state, plain[0].agent_state)


def test_nothing_is_written_and_one_device_is_no_reason_to_warn(without_a_cache, tmp_path, caplog):
    small_run(num_devices=1, num_updates=1)
    assert list(tmp_path.rglob("*")) == []
    assert jax.config.jax_compilation_cache_dir is None
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_compiled_programs_are_kept_if_asked(without_a_cache, tmp_path):
    options = {"is_compilation_cached": True}
    small_run(num_devices=1, num_updates=1, runner_options=options)
    (directory,) = (tmp_path / "cache/ksim/jax").iterdir()
    assert jax.config.jax_compilation_cache_dir == str(directory)
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


def test_progress_can_be_hidden(capsys):
    small_run(num_devices=1, num_updates=1, runner_options={"is_progress_shown": False})
    assert capsys.readouterr().out == ""
    small_run(num_devices=1, num_updates=2)
    assert "iteration 2/2" in capsys.readouterr().out


def test_the_world_of_a_mujoco_task():
    environment = SmallMujocoTask(SmallMujocoConfig(num_devices=2)).build().environment
    state, history = small_run(environment)
    # Joint position and velocity, the command, and the last action.
    assert state.obs.shape == (TOTAL_ENVS, 4)
    assert np.all(np.isfinite(history.total_loss))
    assert state.agent_state.params["head"]["std"].shape == (1,)


class Sum(ksim.Environment):
    """An environment of a user's own: reward for adding up to 0."""

    action_space = ksim.ContinuousActions(2)

    def reset(self, key):
        x = jax.random.normal(key, (2,))
        return {"x": x, "num_steps": jnp.int32(0)}, self.show(x)

    def step(self, state, action, key):
        x, num_steps = 0.9 * state["x"] + 0.1 * action, state["num_steps"] + 1
        return {"x": x, "num_steps": num_steps}, ksim.Timestep(
            observations=self.show(x),
            reward=-jnp.abs(jnp.sum(x)),
            is_terminated=jnp.bool_(False),
            is_truncated=num_steps >= 10,
        )

    def show(self, x):
        return {"x": x, "sum": jnp.sum(x)}


@pytest.mark.parametrize("network", ["mlp", "gru"])
def test_an_environment_of_ones_own(network):
    state, history = small_run(
        Sum(), network=network, num_updates=4, learning_rate_schedule="linear"
    )
    assert state.obs.shape == (TOTAL_ENVS, 3)
    assert np.all(history.episode_length[1:] == 10)
    # The linear schedule ends at 0 after the last update: the factor of the fourth is 1/4.
    np.testing.assert_allclose(state.agent_state.learner.learning_rate_scale, 0.25)


def expect(error, *texts, **arguments):
    call = inspect.unwrap(train_ppo)  # without the type checker of the tests
    with pytest.raises(error) as caught:
        call(**({"env": CartPole()} | arguments))
    for text in texts:
        assert text in str(caught.value)


def test_less_than_one_update():
    expect(
        ValueError,
        "total_timesteps=100 is less than one update: 2 device(s) * num_envs=4 * n_steps=16 = 128."
        " Write total_timesteps=128 or more",
        ppo_config=PPOConfig(**SMALL),
        runner_config=RunnerConfig(total_timesteps=100, num_envs=4, num_devices=2),
    )


@pytest.mark.parametrize(
    ("ppo_options", "runner_options", "text"),
    [
        ({"n_steps": 10, "n_minibatches": 4}, {}, "Write n_steps=12, or an n_minibatches that"),
        ({"n_epochs": 0}, {}, "n_epochs=0: must be at least 1"),
        ({"hidden_sizes": (0,)}, {}, "hidden_sizes=[0]: must be at least 1"),
        ({}, {"num_devices": 9}, "num_devices=9, but there are only 8 cpu device(s)"),
        ({}, {"num_devices": 4, "fsdp_devices": 3}, "fsdp_devices=3 must divide the number of"),
        ({}, {"num_devices": 1, "fsdp_devices": 2}, "fsdp_devices=2 must divide the number of"),
        ({}, {"seed": -1}, "seed=-1: must be at least 0"),
        (
            {"network": "gru"},
            {"num_envs": 6},
            "num_envs=6 on each device is not divisible by n_minibatches=4. Write num_envs=8",
        ),
    ],
)
def test_options_that_do_not_fit(ppo_options, runner_options, text):
    expect(
        ValueError,
        text,
        ppo_config=PPOConfig(**ppo_options),
        runner_config=RunnerConfig(**runner_options),
    )


def test_what_the_environment_is_expected_to_look_like():
    train_ppo(
        CartPole(),
        EnvParams("CartPole-v1"),
        ppo_config=PPOConfig(**SMALL),
        runner_config=RunnerConfig(total_timesteps=128, num_envs=4, num_devices=2),
        obs_shape=(4,),
        n_actions=2,
    )
    expect(ValueError, "obs_shape=(5,), but the observation of CartPole has", obs_shape=(5,))
    expect(ValueError, "n_actions=3, but CartPole has DiscreteActions(count=2)", n_actions=3)
    expect(ValueError, "n_actions=2, but Sum has ContinuousActions(size=2)", n_actions=2, env=Sum())


def test_arguments_of_another_kind():
    expect(TypeError, "Give an object of the class: CartPole().", env=CartPole)
    expect(TypeError, "env, env_params = make(...)", env=make("CartPole-v1"))
    expect(TypeError, "Derive a class from ksim.Environment", env=object())
    expect(
        TypeError,
        "ppo_config must be a ksim.vibe_rl.algorithms.ppo.PPOConfig,"
        " found a ksim.task.ppo.PPOConfig.",
        ppo_config=ksim.PPOConfig(),
    )
    expect(TypeError, "runner_config must be a ksim.vibe_rl.runner.RunnerConfig", runner_config={})
    expect(TypeError, "env_params must be what make(...) returned", env_params={"gravity": 9.8})
