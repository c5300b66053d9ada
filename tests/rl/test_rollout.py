"""Acting in many environments at once, beside a slow loop and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.envs import hardest
from ksim.rl import ActorCriticPolicy, EnvState, initial_env_state, rollout
from ksim.rl.rollout import act_once

run = jax.jit(rollout, static_argnums=(0, 5))


def array_of(trajectory, name):
    return trajectory.kept[name] if name in trajectory.kept else getattr(trajectory, name)


@pytest.fixture
def act(make_model):
    """Rolls out; returns trajectory, statistics, last environments and last memory."""

    def act(environment, num_steps, env_state=None, num_envs=2, is_deterministic=True, seed=0):
        model = make_model()
        policy = ActorCriticPolicy(model, None, jnp.bool_(is_deterministic))
        if env_state is None:
            env_state = initial_env_state(environment, model.initial_carry(), num_envs)
        return run(
            environment, policy, env_state, env_state.model_carry, jax.random.key(seed), num_steps
        )

    return act


def test_initial_env_state(make_model, make_environment):
    state = initial_env_state(make_environment(), make_model().initial_carry(), 3)
    assert state.env_id.tolist() == [0, 1, 2]
    assert state.is_over.tolist() == [True] * 3
    assert state.episode_length.tolist() == [0] * 3
    assert state.observations["x"].shape == (3,)
    assert state.model_carry["calls"].shape == (3,)
    assert state.environment.count.shape == (3,)


class TestEpisodesOfTwoSteps:
    """start, step, step and end, start, step, step and end, start."""

    @pytest.fixture
    def failing(self, act, make_environment):
        return act(make_environment(length=2), num_steps=7)

    def test_start_of_an_episode_is_no_step(self, failing):
        trajectory, *_ = failing
        for env in range(2):
            valid = trajectory.is_valid[:, env].tolist()
            assert valid == [False, True, True, False, True, True, False]
            assert trajectory.reward[:, env].tolist() == [0, 1, 2, 0, 1, 2, 0]

    def test_failures(self, failing):
        trajectory, *_ = failing
        ends = [False, False, True, False, False, True, False]
        assert trajectory.is_terminated[:, 0].tolist() == ends
        assert not trajectory.is_truncated.any()  # a step that is both is a failure

    def test_time_outs(self, act, make_environment):
        trajectory, *_ = act(make_environment(length=2, is_failure=False), num_steps=7)
        ends = [False, False, True, False, False, True, False]
        assert trajectory.is_truncated[:, 0].tolist() == ends
        assert not trajectory.is_terminated.any()

    def test_final_observation_stands_after_the_end(self, failing):
        trajectory, _, last, _ = failing
        # Before each step: nothing yet, 0 and 1 in the episode, its final 2; then the same again.
        assert trajectory.observations["x"][:, 0].tolist() == [0, 0, 1, 2, 0, 1, 2]
        assert last.observations["x"].tolist() == [0, 0]
        assert last.is_over.tolist() == [False, False]

    def test_memory_begins_anew_with_every_episode(self, failing):
        trajectory, _, _, memory = failing
        # The value tells how often the model was called in the episode: not at all before its
        # first step; the call at its start does not count, the one at its final observation does.
        assert trajectory.kept["value"][:, 0].tolist() == [0, 0, 1, 2, 0, 1, 2]
        assert trajectory.final["value"].tolist() == [0, 0]
        assert memory["calls"].tolist() == [0, 0]

    def test_mode_of_the_policy(self, failing):
        trajectory, *_ = failing
        # mean = 0.5 x + 0.1 calls, and both count the steps: 0.6 times that.
        expected = 0.6 * np.array([0, 0, 1, 2, 0, 1, 2])
        np.testing.assert_allclose(trajectory.kept["latent"][:, 0, 0], expected, rtol=1e-6)

    def test_statistics(self, failing):
        _, statistics, last, _ = failing
        assert statistics.num_steps.tolist() == [8]  # 2 environments, 2 episodes, 2 steps
        assert statistics.reward.tolist() == [12]  # 4 episodes of 1 + 2
        assert statistics.metrics["count"].tolist() == [12]
        assert statistics.num_episodes.tolist() == [4]
        assert statistics.episode_return.tolist() == [12]
        assert statistics.episode_length.tolist() == [8]
        terminations = {name: count.tolist() for name, count in statistics.terminations.items()}
        assert terminations == {"failed": [4], "time_out": [0]}
        assert last.episode_return.tolist() == [0, 0]

    def test_episode_goes_on_in_the_next_rollout(self, act, make_environment):
        environment = make_environment(length=2)
        whole, _, last_of_whole, _ = act(environment, num_steps=7)
        first, statistics, state, memory = act(environment, num_steps=5)
        assert state.episode_return.tolist() == [1, 1]
        assert state.episode_length.tolist() == [1, 1]
        # The value after the last step is that of the next observation and memory.
        np.testing.assert_array_equal(first.final["value"], whole.kept["value"][5])
        second, more, last, _ = act(environment, 2, state.replace(model_carry=memory))
        for name in ("reward", "value", "latent", "is_valid", "is_terminated"):
            both = np.concatenate([array_of(first, name), array_of(second, name)])
            np.testing.assert_array_equal(both, array_of(whole, name))
        np.testing.assert_array_equal(second.initial_carry["calls"], memory["calls"])
        assert (statistics.episode_return + more.episode_return).tolist() == [12]
        jax.tree.map(np.testing.assert_array_equal, last.environment, last_of_whole.environment)


def slow_loop(environment, policy, num_envs, key, num_steps):
    """One environment after the other, with Python branches in place of selections."""
    records = []
    for env_id in range(num_envs):
        env_key = jax.random.fold_in(key, env_id)
        memory, is_over = policy.model.initial_carry(), True
        state, observations = None, {"x": jnp.float32(0)}
        for t in range(num_steps):
            act_key, world_key = jax.random.split(jax.random.fold_in(env_key, t))
            decision = policy.act(observations, memory, act_key)
            value = policy.evaluate(observations, memory).value
            record = {"x": observations["x"], "value": value, "latent": decision.kept["latent"]}
            reset_key, step_key = jax.random.split(world_key)
            if is_over:
                state, observations = environment.reset(reset_key)
                memory, is_over = policy.model.initial_carry(), False
                record |= {"reward": 0.0, "is_valid": False, "fails": False, "times_out": False}
            else:
                state, timestep = environment.step(state, decision.action, step_key)
                observations, memory = timestep.observations, decision.carry
                fails = bool(timestep.is_terminated)
                times_out = bool(timestep.is_truncated) and not fails
                is_over = fails or times_out
                record |= {"reward": timestep.reward, "is_valid": True}
                record |= {"fails": fails, "times_out": times_out}
            records.append(jax.tree.map(np.asarray, record))
    stacked = jax.tree.map(lambda *rows: np.stack(rows), *records)
    return jax.tree.map(
        lambda x: np.swapaxes(x.reshape(num_envs, num_steps, *x.shape[1:]), 0, 1), stacked
    )


def test_equals_a_slow_loop(make_model, make_environment):
    environment, key = make_environment(has_noise=True), jax.random.key(7)
    num_envs, num_steps = 4, 12
    model = make_model()
    policy = ActorCriticPolicy(model, None, jnp.bool_(False))
    start = initial_env_state(environment, model.initial_carry(), num_envs)
    trajectory, *_ = run(environment, policy, start, start.model_carry, key, num_steps)
    expected = slow_loop(environment, policy, num_envs, key, num_steps)
    assert expected["fails"].any() and expected["times_out"].any()
    np.testing.assert_array_equal(trajectory.is_valid, expected["is_valid"])
    np.testing.assert_array_equal(trajectory.is_terminated, expected["fails"])
    np.testing.assert_array_equal(trajectory.is_truncated, expected["times_out"])
    np.testing.assert_array_equal(trajectory.observations["x"], expected["x"])
    for name in ("reward", "value", "latent"):
        np.testing.assert_allclose(array_of(trajectory, name), expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_parts", [2, 4])
def test_split_of_the_environments_does_not_matter(act, make_model, make_environment, num_parts):
    environment, num_envs, num_steps = make_environment(has_noise=True), 4, 12
    whole = act(environment, num_steps, num_envs=num_envs, is_deterministic=False)
    start = initial_env_state(environment, make_model().initial_carry(), num_envs)
    size = num_envs // num_parts

    def part(index, tree):
        return jax.tree.map(lambda x: x[index * size : (index + 1) * size], tree)

    parts = [
        act(environment, num_steps, part(index, start), is_deterministic=False)
        for index in range(num_parts)
    ]
    for name in ("reward", "value", "latent", "log_prob", "is_valid", "is_terminated"):
        joined = np.concatenate([array_of(result[0], name) for result in parts], axis=1)
        # Up to the last bit, which depends on how many environments fill a vector register.
        np.testing.assert_allclose(joined, array_of(whole[0], name), rtol=1e-5, atol=1e-6)
    total = jax.tree.map(lambda *sums: sum(sums), *(result[1] for result in parts))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), total, whole[1])
    last: EnvState = whole[2]
    np.testing.assert_array_equal(
        np.concatenate([result[2].episode_return for result in parts]), last.episode_return
    )


def test_exploration_draws_differ_between_environments_steps_and_rollouts(act, make_environment):
    rollouts = [
        act(make_environment(length=9), 6, is_deterministic=False, seed=seed)[0] for seed in (0, 1)
    ]
    latents = np.concatenate(
        [np.asarray(trajectory.kept["latent"]).ravel() for trajectory in rollouts]
    )
    assert len(np.unique(latents)) == 2 * 6 * 2


@pytest.mark.parametrize(
    ("is_over", "count", "reward", "calls"),
    [
        (False, 1, 1.0, 6.0),  # the first step of the environment, the sixth call of the model
        (True, 0, 0.0, 0.0),  # an episode begins: no step, and nothing has been called in it
    ],
)
def test_acting_once_by_hand(make_model, make_environment, is_over, count, reward, calls):
    environment = make_environment(length=1)  # ends by a failure and a time-out at once
    policy = ActorCriticPolicy(make_model(), None, jnp.bool_(True))
    state, observations = environment.reset(jax.random.key(0))
    state, timestep, carry, decision = act_once(
        environment,
        policy,
        state,
        observations,
        {"calls": jnp.float32(5)},
        jnp.bool_(is_over),
        hardest(),
        jax.random.split(jax.random.key(1)),
    )
    assert state.count == count
    assert timestep.reward == reward
    assert timestep.is_terminated == (not is_over)
    assert not timestep.is_truncated  # a step that is both is a failure
    assert carry["calls"] == calls
    # gain * x + 0.1 * calls = 0.5 * 0 + 0.1 * 5, also where it comes to nothing.
    np.testing.assert_allclose(decision.action, [0.5], rtol=1e-6)
