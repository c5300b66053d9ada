import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.nn import RunningMoments
from ksim.nn.normalizer import CLIP, EPSILON, MAX_COUNT

SHAPES = {"gyro": (3,), "height": (), "image": (2, 2)}


def batch(seed, *batch_shape, offset=0.0):
    rng = np.random.default_rng(seed)
    return {
        name: (offset + rng.normal(1.0, 2.0, (*batch_shape, *shape))).astype(np.float32)
        for name, shape in SHAPES.items()
    }


@jax.jit
def update(moments, observations, weights):
    return moments.update(observations, weights)


def assert_moments(moments, observations, weights, rtol=1e-5):
    """Compares with NumPy on all samples at once; `[n, *shape]` and `[n]`."""
    np.testing.assert_allclose(moments.count, weights.sum(), rtol=rtol)
    for name, x in observations.items():
        x = x.astype(np.float64)
        mean = np.average(x, axis=0, weights=weights)
        variance = np.average((x - mean) ** 2, axis=0, weights=weights)
        np.testing.assert_allclose(moments.mean[name], mean, rtol=rtol, atol=1e-5)
        np.testing.assert_allclose(moments.variance[name], variance, rtol=rtol, atol=1e-5)


def assert_trees_close(found, expected, rtol=1e-5, atol=0.0):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


class TestUpdate:
    def test_by_hand(self):
        # 1, 3 of weight 1 and 5 of weight 2: mean (1 + 3 + 10) / 4 = 3.5;
        # variance (6.25 + 0.25 + 2 * 2.25) / 4 = 2.75
        moments = update(
            RunningMoments.create({"x": ()}), {"x": np.float32([1, 3, 5])}, np.float32([1, 1, 2])
        )
        assert (moments.count, moments.mean["x"], moments.variance["x"]) == (4, 3.5, 2.75)
        # and then 3.5 + 4 of weight 4: mean 5.5; variance (2.75 + 0) / 2 + 4^2 / 4 = 5.375
        moments = update(moments, {"x": np.float32([7.5])}, np.float32([4]))
        assert (moments.count, moments.mean["x"], moments.variance["x"]) == (8, 5.5, 5.375)

    def test_equals_numpy_on_all_batches_joined(self):
        moments = RunningMoments.create(SHAPES)
        batches = [batch(seed, 7, 11) for seed in range(4)]
        weights = [np.random.default_rng(seed + 9).uniform(0, 2, (7, 11)) for seed in range(4)]
        for observations, weight in zip(batches, weights, strict=True):
            moments = update(moments, observations, weight.astype(np.float32))
        joined = {
            name: np.concatenate([b[name].reshape(-1, *shape) for b in batches])
            for name, shape in SHAPES.items()
        }
        assert_moments(moments, joined, np.concatenate([w.ravel() for w in weights]))

    def test_boolean_weights(self):
        observations = batch(0, 9)
        is_valid = np.arange(9) % 3 > 0
        moments = update(RunningMoments.create(SHAPES), observations, is_valid)
        kept = {name: x[is_valid] for name, x in observations.items()}
        assert_moments(moments, kept, np.ones(6))

    def test_samples_of_weight_zero_may_be_nan(self):
        observations = batch(0, 9)
        weights = np.float32([1, 1, 1, 0, 1, 1, 1, 1, 0])
        spoiled = {name: x.copy() for name, x in observations.items()}
        for x in spoiled.values():
            x[3], x[8] = np.nan, np.inf
        moments = update(RunningMoments.create(SHAPES), spoiled, weights)
        kept = {name: x[weights > 0] for name, x in observations.items()}
        assert_moments(moments, kept, np.ones(7))

    def test_total_weight_zero_changes_nothing(self):
        for before in (
            RunningMoments.create(SHAPES),
            update(RunningMoments.create(SHAPES), batch(0, 9), np.ones(9, np.float32)),
        ):
            after = update(before, batch(1, 9), np.zeros(9, np.float32))
            assert_trees_close(after, before, rtol=0)

    def test_is_precise_far_from_the_origin(self):
        # mean about 10,000, standard deviation 2: the naive E[x^2] - E[x]^2 has an error near 8.
        moments = RunningMoments.create(SHAPES)
        batches = [batch(seed, 500, offset=1e4) for seed in range(3)]
        for observations in batches:
            moments = update(moments, observations, np.ones(500, np.float32))
        for name in SHAPES:
            x = np.concatenate([b[name] for b in batches]).astype(np.float64)
            np.testing.assert_allclose(moments.variance[name], x.var(axis=0), rtol=2e-3)

    def test_old_data_fade_at_the_largest_count(self):
        moments = RunningMoments(
            count=jnp.float32(MAX_COUNT), mean={"x": jnp.zeros(())}, variance={"x": jnp.ones(())}
        )
        # A batch as heavy as all before it counts half: mean 4 / 2, variance 1 / 2 + 4^2 / 4.
        moments = update(moments, {"x": np.float32([4])}, np.float32([MAX_COUNT]))
        assert moments.count == MAX_COUNT
        assert (moments.mean["x"], moments.variance["x"]) == (2, 4.5)

    def test_jit_equals_eager_and_is_not_compiled_again(self):
        traces = []

        @jax.jit
        def run(moments, observations, weights):
            traces.append(1)
            return moments.update(observations, weights)

        eager = jitted = RunningMoments.create(SHAPES)
        for seed in range(3):
            observations, weights = batch(seed, 5), jnp.arange(5.0)
            eager = eager.update(jax.tree.map(jnp.asarray, observations), weights)
            jitted = run(jitted, observations, weights)
        assert len(traces) == 1
        assert_trees_close(jitted, eager)

    def test_missing_observation(self):
        moments = RunningMoments.create(SHAPES)
        with pytest.raises(KeyError, match=r'"height" has moments but is missing.*: gyro'):
            update(moments, {"gyro": np.zeros((4, 3), np.float32)}, np.ones(4, np.float32))

    def test_wrong_shape_is_not_broadcast(self):
        with pytest.raises(TypeError, match="reshape"):
            update(RunningMoments.create({"x": ()}), {"x": np.ones((4, 2))}, np.ones(4, np.float32))


class TestDevices:
    @pytest.mark.parametrize("num_devices", [2, 4])
    def test_many_devices_equal_one(self, num_devices):
        start = update(RunningMoments.create(SHAPES), batch(1, 16), np.ones(16, np.float32))
        observations = batch(0, 16, offset=3.0)
        # Uneven, and nothing at all on the first device.
        weights = np.float32([0] * 8 + [1, 2, 0, 1, 3, 1, 0, 1])
        expected = update(start, observations, weights)

        def split(x):
            return x.reshape(num_devices, 16 // num_devices, *x.shape[1:])

        def run(observations, weights):
            return jax.tree.leaves(start.update(observations, weights, axis_name="device"))

        devices = jax.devices()[:num_devices]
        found = jax.pmap(run, axis_name="device", devices=devices)(
            jax.tree.map(split, observations), split(weights)
        )
        for leaf, expected_leaf in zip(found, jax.tree.leaves(expected), strict=True):
            for replica in np.asarray(leaf):
                np.testing.assert_allclose(replica, expected_leaf, rtol=1e-5)
                np.testing.assert_array_equal(replica, leaf[0])


class TestNormalize:
    def test_by_hand(self):
        moments = RunningMoments(
            count=jnp.float32(1),
            mean={"x": jnp.array([1.0, 2.0])},
            variance={"x": jnp.array([4.0, 0.0])},
        )
        # (5 - 1) / sqrt(4.0001) = 1.999975;  0.02 / sqrt(1e-4) = 2
        found = moments.normalize({"x": jnp.array([5.0, 2.02])})["x"]
        np.testing.assert_allclose(found, [1.999975, 2.0], rtol=1e-4)
        # An observation that never varied is clipped when it does.
        found = moments.normalize({"x": jnp.array([[-1e6, 3.0]])})["x"]
        np.testing.assert_array_equal(found, [[-CLIP, CLIP]])

    def test_result_has_mean_zero_and_variance_one(self):
        observations = jax.tree.map(jnp.asarray, batch(0, 50, 40))
        moments = update(RunningMoments.create(SHAPES), observations, np.ones((50, 40), np.float32))
        for x in moments.normalize(observations).values():
            np.testing.assert_allclose(x.mean(axis=(0, 1)), 0, atol=1e-4)
            np.testing.assert_allclose(x.std(axis=(0, 1)), 1, rtol=1e-3)

    def test_without_data_is_the_identity(self):
        x = jnp.array([0.5, -2.0, 3.0])
        found = RunningMoments.create({"x": (3,)}).normalize({"x": x})["x"]
        np.testing.assert_allclose(found, x / np.sqrt(1 + EPSILON), rtol=1e-6)

    def test_names_without_moments_are_passed_on(self):
        found = RunningMoments.create({"x": ()}).normalize(
            {"other": jnp.array([100, 200]), "x": jnp.zeros(2)}
        )
        np.testing.assert_array_equal(found["other"], [100, 200])
        assert found["other"].dtype == jnp.int32

    def test_missing_observation(self):
        with pytest.raises(KeyError, match='"x" has moments but is missing'):
            RunningMoments.create({"x": ()}).normalize({"y": jnp.zeros(2)})
