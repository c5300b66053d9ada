"""Generalized advantages: by hand, by a slow reference, by identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.rl import generalized_advantages

compiled = jax.jit(generalized_advantages, static_argnames=("gamma", "lam"))

NONE = [False, False, False]


def one_environment(is_terminated=NONE, is_truncated=NONE, is_valid=(True,) * 3, lam=0.5):
    """Advantages of rewards 1, 2, 3 and values 1, 2, 4, then 8, with gamma = 0.5."""

    def column(values, dtype):
        return jnp.array(values, dtype)[:, None]

    advantages = compiled(
        reward=column([1, 2, 3], jnp.float32),
        value=column([1, 2, 4], jnp.float32),
        final_value=jnp.array([8.0]),
        is_terminated=column(is_terminated, bool),
        is_truncated=column(is_truncated, bool),
        is_valid=column(is_valid, bool),
        gamma=0.5,
        lam=lam,
    )
    return advantages[:, 0].tolist()


# delta = (1 + 0.5 * 2 - 1, 2 + 0.5 * 4 - 2, 3 + 0.5 * 8 - 4) = (1, 2, 3), and gamma lam = 0.25.


def test_episode_that_goes_on():
    # A_2 = 3, A_1 = 2 + 0.25 * 3 = 2.75, A_0 = 1 + 0.25 * 2.75 = 1.6875
    assert one_environment() == [1.6875, 2.75, 3.0]


def test_failure_in_the_last_step_does_not_bootstrap():
    # A_2 = 3 - 4 = -1, A_1 = 2 + 0.25 * -1 = 1.75, A_0 = 1 + 0.25 * 1.75 = 1.4375
    assert one_environment(is_terminated=[False, False, True]) == [1.4375, 1.75, -1.0]


def test_time_out_in_the_last_step_bootstraps_from_the_final_value():
    assert one_environment(is_truncated=[False, False, True]) == [1.6875, 2.75, 3.0]


def test_failure_then_a_new_episode():
    # A_0 = 1 - 1 = 0. Step 1 only starts the next episode, whose one step has A_2 = 3.
    advantages = one_environment(is_terminated=[True, False, False], is_valid=[True, False, True])
    assert advantages == [0.0, 0.0, 3.0]


def test_time_out_then_a_new_episode():
    # The final observation of the old episode stands at step 1, with value 2:
    # A_0 = 1 + 0.5 * 2 - 1 = 1, and nothing of step 2.
    advantages = one_environment(is_truncated=[True, False, False], is_valid=[True, False, True])
    assert advantages == [1.0, 0.0, 3.0]


def test_failure_and_time_out_at_once_is_a_failure():
    both = {"is_terminated": [False, False, True], "is_truncated": [False, False, True]}
    assert one_environment(**both) == [1.4375, 1.75, -1.0]


def test_lam_0_is_the_one_step_error():
    assert one_environment(lam=0.0) == [1.0, 2.0, 3.0]


def test_lam_1_is_the_discounted_return_minus_the_value():
    # Returns: 3 + 0.5 * 8 = 7, 2 + 0.5 * 7 = 5.5, 1 + 0.5 * 5.5 = 3.75; values 1, 2, 4.
    assert one_environment(lam=1.0) == [2.75, 3.5, 3.0]


def random_trajectory(seed, num_steps=20, num_envs=40):
    """Random rewards and values, and episodes that end as a rollout records them."""
    random = np.random.default_rng(seed)
    shape = (num_steps, num_envs)
    is_done, is_valid = np.zeros(shape, bool), np.ones(shape, bool)
    is_valid[0] = random.random(num_envs) < 0.5
    for t in range(num_steps):
        if t:
            is_valid[t] = ~is_done[t - 1]
        is_done[t] = is_valid[t] & (random.random(num_envs) < 0.3)
    is_failure = random.random(shape) < 0.5
    return {
        "reward": np.where(is_valid, random.normal(size=shape), 0).astype(np.float32),
        "value": random.normal(size=shape).astype(np.float32),
        "final_value": random.normal(size=num_envs).astype(np.float32),
        "is_terminated": is_done & is_failure,
        "is_truncated": is_done & ~is_failure,
        "is_valid": is_valid,
    }


def advantages_of(trajectory, gamma=0.9, lam=0.8):
    return np.asarray(
        compiled(**{k: jnp.array(v) for k, v in trajectory.items()}, gamma=gamma, lam=lam)
    )


def slow_reference(trajectory, gamma, lam):
    """A_t = sum over the rest of the episode of (gamma lam)^k delta_{t + k}."""
    reward, value = trajectory["reward"], trajectory["value"]
    num_steps, num_envs = reward.shape
    result = np.zeros((num_steps, num_envs))
    for env in range(num_envs):
        values = [*value[:, env].astype(np.float64), float(trajectory["final_value"][env])]
        for start in range(num_steps):
            if not trajectory["is_valid"][start, env]:
                continue
            weight = 1.0
            for t in range(start, num_steps):
                bootstrap = 0.0 if trajectory["is_terminated"][t, env] else values[t + 1]
                result[start, env] += weight * (reward[t, env] + gamma * bootstrap - values[t])
                weight *= gamma * lam
                if trajectory["is_terminated"][t, env] or trajectory["is_truncated"][t, env]:
                    break
    return result


@pytest.mark.parametrize(("gamma", "lam"), [(0.9, 0.8), (1.0, 1.0), (0.99, 0.0), (0.0, 0.5)])
def test_equals_the_slow_reference(gamma, lam):
    trajectory = random_trajectory(seed=0)
    expected = slow_reference(trajectory, gamma, lam)
    np.testing.assert_allclose(advantages_of(trajectory, gamma, lam), expected, atol=1e-5)


def test_rows_that_are_no_steps_are_0():
    trajectory = random_trajectory(seed=1)
    advantages = advantages_of(trajectory)
    assert np.all(advantages[~trajectory["is_valid"]] == 0)
    assert np.all(advantages[trajectory["is_valid"]] != 0)


def test_nothing_leaks_from_the_next_episode():
    trajectory = random_trajectory(seed=2)
    before = advantages_of(trajectory)
    # Change all that follows the first failure or time-out of each environment, except for the
    # value of the final observation.
    is_done = trajectory["is_terminated"] | trajectory["is_truncated"]
    end = np.where(is_done.any(axis=0), is_done.argmax(axis=0), len(is_done))
    time = np.arange(len(is_done))[:, None]
    changed = dict(trajectory)
    changed["reward"] = np.where(time > end, 1e3, trajectory["reward"]).astype(np.float32)
    changed["value"] = np.where(time > end + 1, -1e3, trajectory["value"]).astype(np.float32)
    changed["final_value"] = np.where(
        end + 1 < len(is_done), 1e4, trajectory["final_value"]
    ).astype(np.float32)
    is_first_episode = time <= end
    after = advantages_of(changed)
    np.testing.assert_array_equal(after[is_first_episode], before[is_first_episode])
    assert np.any(after != before)


def test_final_observation_matters_after_time_outs_only():
    trajectory = random_trajectory(seed=3)
    is_start = ~trajectory["is_valid"]
    changed = dict(trajectory)
    changed["value"] = trajectory["value"] + is_start.astype(np.float32)  # + 1 where it stands
    difference = advantages_of(changed, lam=0.0) - advantages_of(trajectory, lam=0.0)
    has_next = np.arange(len(difference))[:, None] < len(difference) - 1
    expected = 0.9 * (trajectory["is_truncated"] & has_next)  # gamma * 1
    np.testing.assert_allclose(difference, expected, atol=1e-5)
