import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import ksim.nn
from ksim.nn import Categorical, Distribution, Normal, TanhNormal

MEAN = jnp.array([[0.3, -0.5, 1.0], [0.0, 2.0, -1.0]])
LOG_STD = jnp.array([[0.1, -0.7, 0.4], [-1.5, 0.0, 0.3]])
LOGITS = jnp.array([[0.0, 1.0, -2.0, 0.5], [3.0, 3.0, 0.0, -1.0]])

DISTRIBUTIONS = {
    "Normal": Normal(MEAN, LOG_STD),
    "TanhNormal": TanhNormal(MEAN, LOG_STD),
    "Categorical": Categorical(LOGITS),
}


@pytest.fixture(params=DISTRIBUTIONS)
def distribution(request):
    return DISTRIBUTIONS[request.param]


def all_results(distribution, key):
    sample_key, entropy_key = jax.random.split(key)
    latent = distribution.sample(sample_key)
    return {
        "latent": latent,
        "mode": distribution.mode(),
        "log_prob": distribution.log_prob(latent),
        "entropy": distribution.entropy(entropy_key),
        "action": distribution.action(latent),
    }


jitted_results = jax.jit(all_results)
many_results = jax.jit(jax.vmap(all_results, in_axes=(None, 0)))


class TestContract:
    def test_covers_every_exported_distribution(self):
        exported = {
            name
            for name in ksim.nn.__all__
            if inspect.isclass(value := getattr(ksim.nn, name))
            and issubclass(value, Distribution)
            and value is not Distribution
        }
        assert exported == set(DISTRIBUTIONS)

    def test_shapes_and_dtypes(self, distribution):
        results = jitted_results(distribution, jax.random.key(0))
        is_discrete = isinstance(distribution, Categorical)
        for name in ("latent", "mode", "action"):
            assert results[name].shape == ((2,) if is_discrete else (2, 3))
            assert results[name].dtype == (jnp.int32 if is_discrete else jnp.float32)
        for name in ("log_prob", "entropy"):
            assert results[name].shape == (2,)
            assert results[name].dtype == jnp.float32
            assert np.all(np.isfinite(results[name]))

    def test_jit_equals_eager(self, distribution):
        eager = all_results(distribution, jax.random.key(1))
        jitted = jitted_results(distribution, jax.random.key(1))
        for name, value in eager.items():
            np.testing.assert_allclose(jitted[name], value, rtol=1e-5, atol=1e-5)

    def test_vmap_equals_loop(self, distribution):
        keys = jax.random.split(jax.random.key(2), 2)
        batched = jax.vmap(all_results)(distribution, keys)
        for i in range(2):
            single = jitted_results(jax.tree.map(lambda x, i=i: x[i], distribution), keys[i])
            for name, value in single.items():
                np.testing.assert_allclose(batched[name][i], value, rtol=1e-5, atol=1e-5)

    def test_is_not_compiled_again(self, distribution):
        traces = []

        @jax.jit
        def run(distribution, key):
            traces.append(1)
            return all_results(distribution, key)

        run(distribution, jax.random.key(0))
        run(jax.tree.map(lambda x: x + 1, distribution), jax.random.key(1))
        assert len(traces) == 1

    def test_entropy_is_expected_surprise(self, distribution):
        # H = E[-log p]. 40,000 samples: the error of the mean is about 1/200 of a spread near 1.
        keys = jax.random.split(jax.random.key(3), 40_000)
        results = many_results(distribution, keys)
        np.testing.assert_allclose(
            results["entropy"].mean(axis=0), -results["log_prob"].mean(axis=0), atol=0.03
        )

    def test_score_has_mean_zero(self, distribution):
        # E[grad log p] = 0: samples and log_prob belong to the same distribution.
        def score(distribution, key):
            latent = jax.lax.stop_gradient(distribution.sample(key))
            return jax.grad(lambda d: d.log_prob(latent).sum())(distribution)

        keys = jax.random.split(jax.random.key(4), 40_000)
        scores = jax.jit(jax.vmap(score, in_axes=(None, 0)))(distribution, keys)
        for leaf in jax.tree.leaves(scores):
            error_of_mean = leaf.std(axis=0) / 200
            np.testing.assert_array_less(abs(leaf.mean(axis=0)), 5 * error_of_mean + 1e-6)

    def test_mode_is_a_maximum_of_the_latent_density(self, distribution):
        if isinstance(distribution, TanhNormal):
            distribution = Normal(distribution.mean, distribution.log_std)
        samples = many_results(distribution, jax.random.split(jax.random.key(3), 40_000))
        best = distribution.log_prob(distribution.mode())
        assert np.all(np.asarray(samples["log_prob"]) <= np.asarray(best) + 1e-6)


class TestNormal:
    def test_log_prob_is_scipys(self):
        x = np.array([[0.0, 0.1, -2.0], [0.5, 0.5, 0.5]])
        expected = stats.norm.logpdf(x, MEAN, np.exp(LOG_STD)).sum(axis=-1)
        found = Normal(MEAN, LOG_STD).log_prob(jnp.asarray(x, jnp.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_log_prob_by_hand(self):
        # mean 1, std 2, x = 3: z = 1, so -1/2 - log 2 - log(2 pi) / 2 = -0.5 - 0.693147 - 0.918939
        log_prob = Normal(jnp.array([1.0]), jnp.log(jnp.array([2.0]))).log_prob(jnp.array([3.0]))
        np.testing.assert_allclose(log_prob, -2.112086, rtol=1e-6)

    def test_entropy_is_scipys(self):
        expected = stats.norm.entropy(MEAN, np.exp(LOG_STD)).sum(axis=-1)
        found = Normal(MEAN, LOG_STD).entropy(jax.random.key(0))
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_samples_have_the_moments(self):
        keys = jax.random.split(jax.random.key(3), 40_000)
        samples = many_results(DISTRIBUTIONS["Normal"], keys)["latent"]
        np.testing.assert_allclose(samples.mean(axis=0), MEAN, atol=0.04)
        np.testing.assert_allclose(samples.std(axis=0), np.exp(LOG_STD), rtol=0.03)

    def test_action_is_the_latent(self):
        np.testing.assert_array_equal(Normal(MEAN, LOG_STD).action(MEAN), MEAN)


class TestTanhNormal:
    def test_density_of_the_action_integrates_to_one(self):
        distribution = TanhNormal(jnp.array([0.4]), jnp.array([-0.2]))

        @jax.jit
        def density(action):
            return jnp.exp(distribution.log_prob(jnp.arctanh(action)[None]))

        total, _ = integrate.quad(lambda a: float(density(a)), -1, 1, epsabs=1e-5, limit=100)
        np.testing.assert_allclose(total, 1, atol=1e-3)

    def test_log_prob_is_the_change_of_variables(self):
        distribution = TanhNormal(MEAN[0], LOG_STD[0])
        latent = jnp.array([0.2, -1.5, 2.0])
        jacobian = jax.jacobian(distribution.action)(latent)
        expected = Normal(MEAN[0], LOG_STD[0]).log_prob(latent) - jnp.linalg.slogdet(jacobian)[1]
        np.testing.assert_allclose(distribution.log_prob(latent), expected, rtol=1e-5)

    def test_slope_is_exact_where_tanh_saturates(self):
        # log(1 - tanh(u)^2) tends to 2 log 2 - 2 |u|; 1 - tanh(20)^2 is 0 in float32.
        latent = jnp.array([20.0])
        distribution = TanhNormal(latent, jnp.zeros(1))
        slope = 2 * math.log(2) - 40
        expected = -0.5 * math.log(2 * math.pi) - slope
        np.testing.assert_allclose(distribution.log_prob(latent), expected, rtol=1e-6)
        np.testing.assert_allclose(
            TanhNormal(-latent, jnp.zeros(1)).log_prob(-latent), expected, rtol=1e-6
        )

    def test_gradients_are_finite_where_tanh_saturates(self):
        for latent in (jnp.array([50.0]), jnp.array([-50.0])):
            gradient = jax.grad(lambda d, x=latent: d.log_prob(x) + d.entropy(jax.random.key(0)))(
                TanhNormal(latent, jnp.zeros(1))
            )
            assert np.all(np.isfinite(gradient.mean))
            assert np.all(np.isfinite(gradient.log_std))

    def test_entropy_is_that_of_the_numeric_density(self):
        mean, std = 0.4, 0.8

        def surprise(u):
            density = stats.norm.pdf(u, mean, std)
            return -density * (stats.norm.logpdf(u, mean, std) - 2 * np.log(1 / np.cosh(u)))

        expected, _ = integrate.quad(surprise, -8, 8)
        distribution = TanhNormal(jnp.array([mean]), jnp.log(jnp.array([std])))
        estimates = jax.vmap(distribution.entropy)(jax.random.split(jax.random.key(0), 40_000))
        np.testing.assert_allclose(estimates.mean(), expected, atol=0.02)

    def test_entropy_pulls_the_mean_to_the_middle(self):
        # Squashing costs entropy away from 0: dH/dmean < 0 for a mean > 0.
        gradient = jax.grad(lambda mean: TanhNormal(mean, -jnp.ones(1)).entropy(jax.random.key(0)))
        assert gradient(jnp.array([2.0]))[0] < 0 < gradient(jnp.array([-2.0]))[0]

    def test_action_is_the_tanh(self):
        np.testing.assert_allclose(TanhNormal(MEAN, LOG_STD).action(MEAN), np.tanh(MEAN), rtol=1e-6)


class TestCategorical:
    def test_log_prob_by_hand(self):
        # softmax(0, log 2, log 5) = (1, 2, 5) / 8
        distribution = Categorical(jnp.log(jnp.array([1.0, 2.0, 5.0])))
        log_probs = [distribution.log_prob(jnp.int32(i)) for i in range(3)]
        np.testing.assert_allclose(log_probs, np.log([1 / 8, 2 / 8, 5 / 8]), rtol=1e-6)

    def test_entropy_is_scipys(self):
        expected = stats.entropy(np.exp(LOGITS), axis=-1)
        found = Categorical(LOGITS).entropy(jax.random.key(0))
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_entropy_of_equals_is_log_size(self):
        entropy = Categorical(jnp.full(7, 3.0)).entropy(jax.random.key(0))
        np.testing.assert_allclose(entropy, math.log(7), rtol=1e-6)

    def test_samples_have_the_frequencies(self):
        samples = jax.vmap(Categorical(LOGITS[0]).sample)(
            jax.random.split(jax.random.key(0), 40_000)
        )
        frequencies = np.bincount(samples, minlength=4) / 40_000
        np.testing.assert_allclose(frequencies, jax.nn.softmax(LOGITS[0]), atol=0.01)

    def test_mode(self):
        np.testing.assert_array_equal(Categorical(LOGITS).mode(), [1, 0])

    def test_extreme_logits_stay_finite(self):
        distribution = Categorical(jnp.array([1e4, -1e4]))
        assert distribution.entropy(jax.random.key(0)) == 0
        assert distribution.log_prob(jnp.int32(1)) == -2e4
