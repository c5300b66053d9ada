"""Updates of PPO on one device and on several."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from ksim.config import ConfigError
from ksim.nn import RunningMoments
from ksim.parallel import Placement, Pmap, Synchronisation
from ksim.rl import (
    PPO,
    ActorCriticPolicy,
    Extension,
    LearningRateSchedule,
    PPOCoefficients,
    Trajectory,
    initial_env_state,
    rollout,
)

NUM_ENVS, NUM_STEPS = 8, 12
GAMMA, LAM = 0.9, 0.8
MOMENTS = RunningMoments(
    count=jnp.float32(10), mean={"x": jnp.float32(1)}, variance={"x": jnp.float32(4)}
)
PLAIN = PPO(
    optimizer=optax.sgd(0.1),
    synchronisation=Synchronisation("device"),
    coefficients=PPOCoefficients(clip_param=0.2, value_coef=0.5, entropy_coef=0.01),
    learning_rate=LearningRateSchedule(),
    gamma=GAMMA,
    lam=LAM,
    num_batches=1,
    num_passes=1,
)
IN_TIME = {"observations", "kept", "reward"} | {
    "is_terminated",
    "is_truncated",
    "is_valid",
}


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(value=(0.3, 0.7))


@pytest.fixture(scope="module")
def experience(model, make_environment):
    """A trajectory `[NUM_STEPS, NUM_ENVS]` with failures, time-outs and a memory."""
    environment = make_environment(has_noise=True)
    start = initial_env_state(environment, model.initial_carry(), NUM_ENVS)
    act = jax.jit(rollout, static_argnums=(0, 5))
    policy = ActorCriticPolicy(model, MOMENTS, jnp.bool_(False))
    # The second rollout begins in the midst of episodes.
    _, _, state, carry = act(environment, policy, start, start.model_carry, jax.random.key(1), 12)
    trajectory, *_ = act(environment, policy, state, carry, jax.random.key(2), NUM_STEPS)
    assert trajectory.is_terminated.any() and trajectory.is_truncated.any()
    assert trajectory.initial_carry["calls"].any()
    return trajectory


def swap_axes(fields):
    """Exchanges time and environments of a trajectory's fields, so that they can be sharded."""
    return {
        name: jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), field) if name in IN_TIME else field
        for name, field in fields.items()
    }


@functools.cache
def compiled(function, num_devices):
    """Compiles `function(learner, trajectory, iteration)` for several devices."""
    partitioner = Pmap(jax.local_devices()[:num_devices])

    def program(learner, by_environment, iteration):
        return function(learner, Trajectory(**swap_axes(by_environment)), iteration)

    inputs = (Placement.REPLICATED, Placement.SHARDED, Placement.REPLICATED)
    return partitioner, partitioner.partition(program, inputs, Placement.REPLICATED)


@functools.cache
def update_of(ppo):
    def update(learner, trajectory, iteration):
        learner, _, metrics = ppo.update(
            learner, (), trajectory, MOMENTS, iteration, jax.random.key(3)
        )
        return learner, metrics

    return update


def update(ppo, model, trajectory, num_devices=1, iteration=0):
    """Returns the learner and the metrics, each leaf `[num_devices, ...]`."""
    partitioner, run = compiled(update_of(ppo), num_devices)
    learner = partitioner.replicate_state(ppo.init(model, jax.random.key(0)))
    by_environment = partitioner.shard_environments(swap_axes(vars(trajectory)))
    result = run(learner, by_environment, partitioner.replicate_state(np.int32(iteration)))
    return jax.tree.map(np.asarray, result)


def moved(learner, model):
    """Returns by how much the parameters of each device changed."""
    return jax.tree.map(
        lambda after, before: after - np.asarray(before)[None], learner.model, model
    )


def assert_close(actual, expected, rtol):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, 1e-6), actual, expected)


def assert_replicas_identical(tree):
    for leaf in jax.tree.leaves(tree):
        for replica in leaf[1:]:
            assert replica.tobytes() == leaf[0].tobytes()


class Reference:
    """The loss of the whole batch on one device, written once more and slowly."""

    def __init__(self, trajectory):
        self.valid = np.asarray(trajectory.is_valid)
        self.x = (np.asarray(trajectory.observations["x"]) - 1) / np.sqrt(4 + 1e-4)
        self.action = np.asarray(trajectory.kept["latent"])[..., 0]
        self.calls = np.zeros(self.x.shape, np.float32)
        calls = np.asarray(trajectory.initial_carry["calls"])
        for t in range(NUM_STEPS):
            self.calls[t] = calls
            calls = np.where(self.valid[t], calls + 1, 0)
        value = np.asarray(trajectory.kept["value"])
        next_value = np.concatenate([value[1:], np.asarray(trajectory.final["value"])[None]])
        advantage, carried = np.zeros_like(value), np.zeros(NUM_ENVS)
        failed, timed_out = map(np.asarray, (trajectory.is_terminated, trajectory.is_truncated))
        for t in reversed(range(NUM_STEPS)):
            delta = trajectory.reward[t] + GAMMA * next_value[t] * ~failed[t] - value[t]
            carried = delta + GAMMA * LAM * carried * ~(failed[t] | timed_out[t])
            carried = advantage[t] = carried * self.valid[t]
        self.target = advantage + value
        self.error = advantage[self.valid]
        self.advantage = (advantage - self.error.mean()) / self.error.std()

    def __call__(self, model):
        mean = model.gain * self.x + 0.1 * self.calls
        value = model.value[0] * self.x + model.value[1] * self.calls
        log_prob = -0.5 * ((self.action - mean) / jnp.exp(model.log_std)) ** 2 - model.log_std
        ratio = jnp.exp(log_prob - lax.stop_gradient(log_prob))  # before the first step, 1
        entropy = model.log_std
        terms = -ratio * self.advantage + 0.5 * 0.5 * (value - self.target) ** 2 - 0.01 * entropy
        return jnp.sum(terms * self.valid) / np.sum(self.valid)


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_one_step_follows_the_gradient_of_the_whole_batch(model, experience, num_devices):
    learner, metrics = update(PLAIN, model, experience, num_devices)
    reference = Reference(experience)
    gradient = jax.grad(reference)(model)
    expected = jax.tree.map(lambda g: -0.1 * np.stack([g] * num_devices), gradient)
    assert_close(moved(learner, model), expected, rtol=1e-4)
    assert_replicas_identical((learner, metrics))

    # The policy that learns is the one that acted.
    assert metrics["policy/kl"][0] == pytest.approx(0, abs=1e-9)
    assert metrics["policy/clip_fraction"][0] == 0
    assert metrics["loss/entropy"][0] == pytest.approx(0.5 * np.log(2 * np.pi * np.e) - 1)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(gradient)))
    assert metrics["policy/gradient_norm"][0] == pytest.approx(norm, rel=1e-4)
    target = reference.target[reference.valid]
    explained = 1 - reference.error.var() / target.var()
    assert metrics["value/explained_variance"][0] == pytest.approx(explained, rel=1e-3)
    assert not any(np.ptp(leaf, axis=0).any() for leaf in jax.tree.leaves(learner.model))


ALONE = Synchronisation("device", average_gradients=lambda gradients: gradients)


def test_gradients_of_the_devices_differ(model, experience):
    """Without averaging, each device would go elsewhere: the test above is not empty."""
    alone, _ = update(dataclasses.replace(PLAIN, synchronisation=ALONE), model, experience, 4)
    together, _ = update(PLAIN, model, experience, 4)
    gain = moved(alone, model).gain
    assert len(np.unique(gain)) == 4
    assert np.mean(gain) == pytest.approx(moved(together, model).gain[0], rel=1e-4)


def test_devices_follow_their_own_gradients_until_they_synchronise(model, experience):
    # Two updates, of which the second synchronises, with an average of 0: its step is none, so
    # that the mean of the parameters after the first steps is left.
    first_steps_only = Synchronisation(
        "device", 2, average_gradients=lambda gradients: jax.tree.map(jnp.zeros_like, gradients)
    )
    ppo = dataclasses.replace(PLAIN, num_passes=2, synchronisation=first_steps_only)
    learner, metrics = update(ppo, model, experience, 4)
    assert_close(learner.model, update(PLAIN, model, experience, 4)[0].model, rtol=1e-5)
    assert_replicas_identical(learner)

    alone, _ = update(dataclasses.replace(PLAIN, synchronisation=ALONE), model, experience, 4)
    # Of the first steps, the largest distance to their mean over the devices.
    from_mean = [np.abs(leaf - leaf.mean(axis=0)).max() for leaf in jax.tree.leaves(alone.model)]
    assert metrics["device/replica_drift"][0] == pytest.approx(max(from_mean), rel=1e-4)


def test_averaging_of_ones_own_replaces_it(model, experience):
    def three_times_the_mean(gradients):
        return jax.tree.map(lambda g: 3 * lax.pmean(g, "device"), gradients)

    own = Synchronisation("device", average_gradients=three_times_the_mean)
    learner, _ = update(dataclasses.replace(PLAIN, synchronisation=own), model, experience, 2)
    plain, _ = update(PLAIN, model, experience, 2)
    expected = jax.tree.map(lambda step: 3 * step, moved(plain, model))
    assert_close(moved(learner, model), expected, rtol=1e-4)


SEVERAL = dataclasses.replace(PLAIN, num_batches=2, num_passes=4)


def test_device_count_does_not_change_the_result(model, experience):
    one, four = (update(SEVERAL, model, experience, n) for n in (1, 4))
    first = jax.tree.map(lambda x: x[0], four)
    assert_close(first, jax.tree.map(lambda x: x[0], one), rtol=1e-4)
    assert one[1]["policy/kl"][0] > 1e-6  # the policy did move


def test_rows_that_are_no_steps_do_not_count(model, experience):
    invalid = ~experience.is_valid
    garbage = experience.replace(
        reward=jnp.where(invalid, jnp.nan, experience.reward),
        kept=experience.kept
        | {
            "log_prob": jnp.where(invalid, jnp.nan, experience.kept["log_prob"]),
            "latent": jnp.where(invalid[..., None], jnp.nan, experience.kept["latent"]),
        },
        observations={
            name: jnp.where(invalid.reshape(12, 8, *[1] * (array.ndim - 2)), jnp.nan, array)
            for name, array in experience.observations.items()
        },
    )
    jax.tree.map(
        np.testing.assert_array_equal,
        update(SEVERAL, model, garbage),
        update(SEVERAL, model, experience),
    )


@pytest.mark.parametrize("period", [1, 3, 4])
def test_replicas_are_identical_after_an_iteration(model, experience, period):
    ppo = dataclasses.replace(
        SEVERAL,  # 8 updates: with a period of 3, only the rule of the last one ends the iteration
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01)),
        synchronisation=Synchronisation("device", period),
        learning_rate=LearningRateSchedule("adaptive", target_kl=1e-3),
    )
    learner, metrics = update(ppo, model, experience, 2)
    assert_replicas_identical((learner, metrics))
    if period == 1:
        assert "device/replica_drift" not in metrics  # the program says that it is 0
    else:
        assert 1e-5 < metrics["device/replica_drift"][0] < 0.1
    assert np.all(moved(learner, model).gain != 0)
    # One adaptation for each synchronisation, by a factor 1.5, 1 or 1 / 1.5.
    factor = np.log(metrics["policy/learning_rate_scale"][0]) / np.log(1.5)
    num_synchronisations = {1: 8, 3: 3, 4: 2}[period]
    assert factor == pytest.approx(round(factor), abs=1e-4)
    assert abs(factor) <= num_synchronisations + 1e-4
    counts = [x for x in jax.tree.leaves(learner.optimizer_state) if x.dtype == np.int32]
    assert counts[0].tolist() == [8, 8]


def test_adaptive_learning_rate(model, experience):
    ppo = dataclasses.replace(
        PLAIN, num_passes=4, learning_rate=LearningRateSchedule("adaptive", target_kl=1e-6)
    )
    learner, metrics = update(ppo, model, experience)
    # The first update finds no divergence, for want of a step; each of the other three too much.
    assert learner.learning_rate_scale[0] == pytest.approx(1 / 1.5**3)
    assert metrics["policy/learning_rate_scale"][0] == learner.learning_rate_scale[0]


def test_adaptive_learning_rate_needs_a_second_step():
    adaptive = LearningRateSchedule("adaptive")
    message = "num_passes=4"
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(PLAIN, num_batches=1, num_passes=1, learning_rate=adaptive)
    waiting = Synchronisation("device", 4, mode="accumulate")
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(
            PLAIN, num_batches=2, num_passes=2, learning_rate=adaptive, synchronisation=waiting
        )
    dataclasses.replace(
        PLAIN, num_batches=2, num_passes=3, learning_rate=adaptive, synchronisation=waiting
    )


def test_waiting_gradients_adapt_from_the_second_step(model, experience):
    ppo = dataclasses.replace(
        PLAIN,
        num_passes=4,
        synchronisation=Synchronisation("device", 2, mode="accumulate"),
        learning_rate=LearningRateSchedule("adaptive", target_kl=1e-6),
    )
    assert ppo.num_batches == 1
    learner, _ = update(ppo, model, experience)
    # Updates 1 and 3 step; the second of them finds too much divergence.
    assert learner.learning_rate_scale[0] == pytest.approx(1 / 1.5)


def test_schedule_scales_the_steps_of_any_optimizer(model, experience):
    ppo = dataclasses.replace(PLAIN, learning_rate=LearningRateSchedule("linear", 10))
    halfway, _ = update(ppo, model, experience, iteration=5)
    at_first, _ = update(ppo, model, experience, iteration=0)
    half = jax.tree.map(lambda step: 0.5 * step, moved(at_first, model))
    assert_close(moved(halfway, model), half, rtol=1e-3)


def test_advantages_are_normalized_over_all_devices(model, experience):
    def prepare(learner, trajectory, iteration):
        return PLAIN.prepare(trajectory, MOMENTS)[0].samples

    partitioner, run = compiled(prepare, 4)
    by_environment = partitioner.shard_environments(swap_axes(vars(experience)))
    nothing = partitioner.replicate_state(jnp.int32(0))
    samples = partitioner.gather_steps(run(nothing, by_environment, nothing))
    reference = Reference(experience)
    np.testing.assert_allclose(
        samples.advantage[reference.valid], reference.advantage[reference.valid], atol=1e-5
    )
    np.testing.assert_allclose(samples.value_target, reference.target, atol=1e-5)
    # Weights average to 1 over all devices, not on each.
    np.testing.assert_allclose(samples.weight, reference.valid / reference.valid.mean(), rtol=1e-6)


def test_scaled_rewards_are_smaller_rewards_to_the_learner(model, experience):
    scaled = dataclasses.replace(PLAIN, reward_scaling=0.25)
    quarter = experience.replace(reward=0.25 * experience.reward)
    expected, _ = update(PLAIN, model, quarter)
    assert_close(update(scaled, model, experience)[0].model, expected.model, rtol=1e-6)
    unscaled, _ = update(PLAIN, model, experience)
    assert np.abs(unscaled.model.value[0] - expected.model.value[0]).max() > 1e-3


@dataclasses.dataclass(frozen=True)
class Bonus(Extension):
    """Pays a number for each step, adds three gains to the loss, and counts its updates."""

    def init(self, key):
        return jnp.int32(0)

    def reward(self, state, memory, trajectory, normalizer):
        return jnp.full_like(trajectory.reward, 2.0)

    def loss(self, state, model, minibatch, key):
        return 3.0 * model.gain, {"gain": model.gain}

    def update(self, state, memory, trajectory, normalizer, iteration, key):
        return state + 1, memory, {}


def test_extensions_add_to_rewards_and_loss(model, experience):
    extended, metrics = update(
        dataclasses.replace(PLAIN, extensions=(Bonus(),)), model, experience, 2
    )
    paid = experience.replace(reward=experience.reward + 2.0 * experience.is_valid)
    expected, _ = update(PLAIN, model, paid, 2)
    # The gradient of three gains is 3, and the step size is 0.1.
    np.testing.assert_allclose(extended.model.gain, expected.model.gain - 0.3, rtol=1e-5)
    np.testing.assert_allclose(extended.model.value, expected.model.value, rtol=1e-5)
    assert extended.extensions["Bonus"].tolist() == [1, 1]
    assert metrics["extension/Bonus/gain"][0] == pytest.approx(float(model.gain))
