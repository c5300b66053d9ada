"""The clipped loss: by hand, by a slow reference, by its gradient."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.rl import PPOCoefficients, PPOSamples, ppo_loss

COEFFICIENTS = PPOCoefficients(clip_param=0.2, value_coef=0.5, entropy_coef=0.1)
WITH_VALUE_CLIP = dataclasses.replace(COEFFICIENTS, value_clip_param=0.5)

loss_of = jax.jit(ppo_loss, static_argnums=4)

# Four samples with probability ratios 2, 2, 1/2, 1/2 and advantages 1, -1, 1, -1.
NEW_LOG_PROB = jnp.log(jnp.array([2.0, 2.0, 0.5, 0.5]))
NEW_VALUE = jnp.array([1.0, 2.0, 3.0, 4.0])
ENTROPY = jnp.array([1.0, 2.0, 3.0, 4.0])
SAMPLES = PPOSamples(
    log_prob=jnp.zeros(4),
    value=jnp.array([2.0, 2.0, 2.0, 4.25]),
    advantage=jnp.array([1.0, -1.0, 1.0, -1.0]),
    value_target=jnp.array([0.0, 2.0, 5.0, 4.0]),
    weight=jnp.ones(4),
)


def test_all_parts_by_hand():
    total, metrics = loss_of(NEW_LOG_PROB, NEW_VALUE, ENTROPY, SAMPLES, COEFFICIENTS)
    # min(2, 1.2) = 1.2; min(-2, -1.2) = -2; min(0.5, 0.8) = 0.5; min(-0.5, -0.8) = -0.8;
    # the mean is -1.1 / 4 = -0.275, and the loss its negative.
    assert float(metrics["loss/policy"]) == pytest.approx(0.275)
    # Squared errors 1, 0, 4, 0: half their mean is 5 / 8 = 0.625.
    assert float(metrics["loss/value"]) == pytest.approx(0.625)
    assert float(metrics["loss/entropy"]) == pytest.approx(2.5)  # (1 + 2 + 3 + 4) / 4
    # 0.275 + 0.5 * 0.625 - 0.1 * 2.5 = 0.3375
    assert float(total) == pytest.approx(0.3375)
    assert float(metrics["loss/total"]) == float(total)
    # r - 1 - log r: 1 - log 2 twice, -1/2 + log 2 twice; the mean is 1/4.
    assert float(metrics["policy/kl"]) == pytest.approx(0.25)
    assert float(metrics["policy/clip_fraction"]) == 1.0


def test_value_clipping_by_hand():
    _, metrics = loss_of(NEW_LOG_PROB, NEW_VALUE, ENTROPY, SAMPLES, WITH_VALUE_CLIP)
    # Clipped values: 2 - 0.5 = 1.5, 2, 2 + 0.5 = 2.5, 4; their squared errors 2.25, 0, 6.25, 0
    # are no less than the unclipped 1, 0, 4, 0: half the mean is 8.5 / 8 = 1.0625.
    assert float(metrics["loss/value"]) == pytest.approx(1.0625)


def test_value_clipping_takes_the_larger_error():
    samples = SAMPLES.replace(value=jnp.full(4, 3.0), value_target=jnp.full(4, 2.0))
    _, metrics = loss_of(NEW_LOG_PROB, jnp.full(4, 1.0), ENTROPY, samples, WITH_VALUE_CLIP)
    # Clipped value 3 - 0.5 = 2.5 with squared error 0.25; unclipped (1 - 2)^2 = 1, of which half.
    assert float(metrics["loss/value"]) == pytest.approx(0.5)


def test_clipped_value_has_no_gradient_away_from_its_target():
    # Old value 2, target 0: from 1 the clipped value is 1.5, whatever the value, and its error
    # the larger one. From 1.9 nothing is clipped, and d/dV of V^2 / 2 is 1.9.
    def value_loss(value):
        samples = SAMPLES.replace(value=jnp.full(4, 2.0), value_target=jnp.zeros(4))
        log_prob, values = jnp.zeros(4), jnp.full(4, value)
        return loss_of(log_prob, values, ENTROPY, samples, WITH_VALUE_CLIP)[1]["loss/value"]

    assert float(jax.grad(value_loss)(1.0)) == 0.0
    assert float(jax.grad(value_loss)(1.9)) == pytest.approx(1.9)


def test_clip_fraction_counts_ratios_outside():
    ratio = jnp.array([1.0, 1.19, 1.21, 0.5])
    _, metrics = loss_of(jnp.log(ratio), NEW_VALUE, ENTROPY, SAMPLES, COEFFICIENTS)
    assert float(metrics["policy/clip_fraction"]) == 0.5


def test_kl_estimates_the_divergence_of_the_old_policy_from_the_new():
    # Categorical policies with p_old = (1/2, 1/2) and p_new = (1/4, 3/4), samples in these shares:
    # KL = 1/2 log 2 + 1/2 log(2/3) = 1/2 log(4/3).
    samples = SAMPLES.replace(log_prob=jnp.log(jnp.full(4, 0.5)))
    new_log_prob = jnp.log(jnp.array([0.25, 0.25, 0.75, 0.75]))
    _, metrics = loss_of(new_log_prob, NEW_VALUE, ENTROPY, samples, COEFFICIENTS)
    assert float(metrics["policy/kl"]) == pytest.approx(0.5 * np.log(4 / 3), rel=1e-5)


@pytest.mark.parametrize("log_ratio", [1e-2, 1e-3, 1e-4, -1e-4])
def test_a_small_divergence_is_not_lost_in_rounding(log_ratio):
    samples = SAMPLES.replace(log_prob=jnp.zeros(4))
    _, metrics = loss_of(jnp.full(4, log_ratio), NEW_VALUE, ENTROPY, samples, COEFFICIENTS)
    expected = np.expm1(np.float64(np.float32(log_ratio))) - np.float64(np.float32(log_ratio))
    assert float(metrics["policy/kl"]) == pytest.approx(expected, rel=2e-3)


def test_weights_are_those_of_the_mean():
    # Weights 2, 2, 0, 0: the mean of the first two alone.
    weighted = SAMPLES.replace(weight=jnp.array([2.0, 2.0, 0.0, 0.0]))
    first_two = jax.tree.map(lambda x: x[:2], (NEW_LOG_PROB, NEW_VALUE, ENTROPY, SAMPLES))
    expected, expected_metrics = loss_of(*first_two, COEFFICIENTS)
    total, metrics = loss_of(NEW_LOG_PROB, NEW_VALUE, ENTROPY, weighted, COEFFICIENTS)
    assert float(total) == pytest.approx(float(expected))
    for name, value in expected_metrics.items():
        assert float(metrics[name]) == pytest.approx(float(value)), name


@pytest.mark.parametrize("field", ["log_prob", "value", "advantage", "value_target"])
@pytest.mark.parametrize("garbage", [np.nan, np.inf])
def test_sample_of_weight_0_may_hold_anything(field, garbage):
    samples = SAMPLES.replace(weight=jnp.array([2.0, 2.0, 0.0, 0.0]))
    broken = samples.replace(**{field: getattr(samples, field).at[2].set(garbage)})

    def value_and_grad(samples):
        def loss(new):
            return loss_of(new["log_prob"], new["value"], ENTROPY, samples, WITH_VALUE_CLIP)

        new = {"log_prob": NEW_LOG_PROB, "value": NEW_VALUE}
        return jax.value_and_grad(loss, has_aux=True)(new)

    expected, actual = value_and_grad(samples), value_and_grad(broken)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def slow_reference(log_prob, value, entropy, samples, coefficients):
    policy = value_loss = bonus = 0.0
    rows = zip(log_prob, value, entropy, *jax.tree.leaves(samples), strict=True)
    for new_log_prob, new_value, h, old_log_prob, old_value, advantage, target, weight in rows:
        ratio = np.exp(new_log_prob - old_log_prob)
        clipped = min(max(ratio, 1 - coefficients.clip_param), 1 + coefficients.clip_param)
        policy -= weight * min(ratio * advantage, clipped * advantage)
        error = (new_value - target) ** 2
        limit = coefficients.value_clip_param
        if limit is not None:
            near = min(max(new_value, old_value - limit), old_value + limit)
            error = max(error, (near - target) ** 2)
        value_loss += weight * error / 2
        bonus += weight * h
    total = policy + coefficients.value_coef * value_loss - coefficients.entropy_coef * bonus
    return total / len(log_prob)


@pytest.mark.parametrize("value_clip_param", [None, 0.3])
def test_equals_the_slow_reference(value_clip_param):
    random = np.random.default_rng(0)
    draws = random.normal(size=(7, 50)).astype(np.float32)
    weight = 2.0 * (np.arange(50) % 2).astype(np.float32)
    samples = PPOSamples(*draws[3:], weight)
    coefficients = PPOCoefficients(0.2, 0.7, 0.01, value_clip_param)
    expected = slow_reference(*draws[:3], samples, coefficients)
    on_device = jax.tree.map(jnp.array, (*draws[:3], samples))
    total, _ = loss_of(*on_device, coefficients)
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    # Shapes do not matter: a minibatch is [T, num_envs].
    by_time = jax.tree.map(lambda x: x.reshape(10, 5), on_device)
    assert float(loss_of(*by_time, coefficients)[0]) == pytest.approx(float(expected), rel=1e-5)


def test_gradient_at_ratio_1_is_the_policy_gradient():
    logits = jnp.array([[0.1, -0.3, 0.5], [0.0, 1.0, -1.0], [2.0, 0.0, 0.0], [0.3, 0.3, 0.3]])
    actions = jnp.array([0, 2, 1, 1])
    advantage = jnp.array([1.0, -2.0, 0.5, 3.0])

    def log_prob(logits):
        return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[:, None], axis=1)[:, 0]

    def surrogate(logits):
        samples = SAMPLES.replace(log_prob=log_prob(logits_before), advantage=advantage)
        return loss_of(log_prob(logits), NEW_VALUE, ENTROPY, samples, COEFFICIENTS)[1][
            "loss/policy"
        ]

    def policy_gradient_objective(logits):
        return -jnp.mean(log_prob(logits) * advantage)

    logits_before = logits
    np.testing.assert_allclose(
        jax.grad(surrogate)(logits), jax.grad(policy_gradient_objective)(logits), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "has_gradient"),
    [(1.3, 1.0, False), (1.3, -1.0, True), (0.7, 1.0, True), (0.7, -1.0, False), (1.1, 1.0, True)],
)
def test_ratio_stops_paying_beyond_the_clip(ratio, advantage, has_gradient):
    def policy_loss(new_log_prob):
        samples = SAMPLES.replace(advantage=jnp.full(4, advantage))
        log_prob = jnp.full(4, new_log_prob)
        return loss_of(log_prob, NEW_VALUE, ENTROPY, samples, COEFFICIENTS)[1]["loss/policy"]

    # d/d log r of -r A is -r A.
    expected = -ratio * advantage if has_gradient else 0.0
    assert float(jax.grad(policy_loss)(float(np.log(ratio)))) == pytest.approx(expected, rel=1e-5)
