"""Reductions over devices, drift and fingerprints of replicas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.parallel import (
    are_replicas_identical,
    average_replicas,
    collectives,
    largest_deviation,
    mean_over_devices,
    replica_drift,
    replica_fingerprint,
    sum_over_devices,
)


def on_devices(function, *trees):
    """Calls `function(*trees, axis_name)` on as many devices as the leading axes say."""
    return jax.pmap(lambda *local: function(*local, "device"), axis_name="device")(*trees)


def test_mean_and_sum():
    tree = {"a": jnp.array([1.0, 2.0, 6.0]), "b": jnp.array([[0.0], [3.0], [3.0]])}
    mean, total = on_devices(mean_over_devices, tree), on_devices(sum_over_devices, tree)
    np.testing.assert_array_equal(mean["a"], [3, 3, 3])  # (1 + 2 + 6) / 3
    np.testing.assert_array_equal(mean["b"], [[2], [2], [2]])  # (0 + 3 + 3) / 3
    np.testing.assert_array_equal(total["a"], [9, 9, 9])
    np.testing.assert_array_equal(total["b"], [[6], [6], [6]])


@pytest.mark.parametrize("reduce", [mean_over_devices, sum_over_devices])
@pytest.mark.parametrize(("large", "num_messages"), [(collectives.LARGE, 2), (3, 3)])
def test_on_a_cpu_small_arrays_of_one_type_travel_as_one(large, num_messages, reduce, monkeypatch):
    """One message for each type and each large array, the same numbers as without."""
    monkeypatch.setattr(collectives, "LARGE", large)
    tree = {
        "a": jnp.arange(12.0).reshape(2, 3, 2),
        "none": jnp.zeros((2, 0)),
        "half": jnp.array([1.0, 2.0], jnp.bfloat16),
        "b": (jnp.array([1.0, 4.0]),),
    }
    joined = jax.pmap(lambda tree: reduce(tree, "device"), axis_name="device")
    assert joined.lower(tree).as_text().count("stablehlo.all_reduce") == num_messages
    reduced = joined(tree)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    apart = jax.pmap(lambda tree: reduce(tree, "device"), axis_name="device")
    assert apart.lower(tree).as_text().count("stablehlo.all_reduce") == 4
    jax.tree.map(np.testing.assert_array_equal, reduced, apart(tree))


def test_averaged_replicas_are_identical_and_counts_stay():
    tree = {
        "weights": jnp.array([[1.0, 2.0], [3.0, 5.0]]),
        "count": jnp.array([7, 7], jnp.int32),
        "half": jnp.array([1.0, 2.0], jnp.bfloat16),
    }
    averaged = on_devices(average_replicas, tree)
    np.testing.assert_array_equal(averaged["weights"], [[2, 3.5], [2, 3.5]])
    np.testing.assert_array_equal(averaged["count"], [7, 7])
    assert jax.tree.map(lambda x: x.dtype, averaged) == jax.tree.map(lambda x: x.dtype, tree)
    np.testing.assert_array_equal(averaged["half"].astype(jnp.float32), [1.5, 1.5])
    assert np.all(on_devices(are_replicas_identical, averaged))


@pytest.mark.parametrize("num_devices", [1, 2, 3, 8])
def test_no_drift_between_equal_replicas(num_devices):
    weights = jax.random.normal(jax.random.key(0), (5, 3))
    tree = {"w": jnp.stack([weights] * num_devices), "count": jnp.arange(num_devices)}
    np.testing.assert_array_equal(on_devices(replica_drift, tree), np.zeros(num_devices))


def test_drift_is_the_largest_difference_between_two_replicas():
    tree = {
        "a": jnp.array([[1.0, 0.0], [1.5, 0.0], [1.25, 0.25]]),
        "b": jnp.array([3.0, 3.0, 2.75]),
    }
    # In `a` the first number varies from 1 to 1.5, the second from 0 to 0.25; `b` by 0.25.
    np.testing.assert_array_equal(on_devices(replica_drift, tree), [0.5, 0.5, 0.5])


def test_drift_of_one_unit_in_the_last_place():
    one = np.float32(1)
    tree = jnp.array([one, np.nextafter(one, np.float32(2))])
    np.testing.assert_array_equal(on_devices(replica_drift, tree), [2.0**-23, 2.0**-23])


def test_drift_of_nothing():
    np.testing.assert_array_equal(on_devices(replica_drift, {"count": jnp.arange(2)}), [0, 0])
    np.testing.assert_array_equal(on_devices(replica_drift, {"none": jnp.zeros((2, 0))}), [0, 0])


def test_largest_deviation_from_the_mean():
    tree = {
        "a": jnp.array([[1.0, 0.0], [1.5, 0.0], [1.25, 0.75]]),
        "b": jnp.array([3.0, 3.0, 2.75]),
        "count": jnp.array([1, 2, 3]),
    }

    def deviation(local, axis_name):
        return largest_deviation(local, average_replicas(local, axis_name))

    # Means: `a` 1.25 and 0.25, `b` 35/12. The first device is 0.25 from both of `a` and 1/12 from
    # `b`, the second as much, the third 0, 0.5 and 1/6.
    found = on_devices(deviation, tree)
    np.testing.assert_allclose(found, [0.25, 0.25, 0.5], rtol=1e-6)
    assert largest_deviation({"count": jnp.arange(2)}, {"count": jnp.arange(2)}) == 0


LEAVES = {
    "float32": jnp.array([0.0, 1.0, -2.5, 1e-30], jnp.float32),
    "bfloat16": jnp.array([0.0, 1.0, -2.5], jnp.bfloat16),
    "int32": jnp.array([[0, -1], [5, 7]], jnp.int32),
    "int8": jnp.array([0, -1, 5], jnp.int8),
    "uint32": jnp.array([0, 2**31, 5], jnp.uint32),
    "scalar": jnp.float32(3),
    "empty": jnp.zeros((0, 3)),
}


def fingerprint(tree):
    return int(jax.jit(replica_fingerprint)(tree))


def with_flipped_bit(array, index, bit):
    words = np.array(array).view(np.dtype(f"uint{8 * array.dtype.itemsize}")).ravel()
    words[index] ^= words.dtype.type(1 << bit)
    return jnp.asarray(words.view(array.dtype).reshape(array.shape))


@pytest.mark.parametrize("name", ["float32", "bfloat16", "int32", "int8", "uint32"])
def test_every_single_bit_counts(name):
    array = LEAVES[name]
    expected = fingerprint(LEAVES)
    for index in range(array.size):
        for bit in range(8 * array.dtype.itemsize):
            flipped = with_flipped_bit(array, index, bit)
            assert fingerprint(LEAVES | {name: flipped}) != expected, (index, bit)


def test_booleans_and_typed_keys_count():
    tree = {"flag": jnp.array([True, False]), "key": jax.random.split(jax.random.key(0), 2)}
    expected = fingerprint(tree)
    assert fingerprint(tree | {"flag": jnp.array([True, True])}) != expected
    assert fingerprint(tree | {"key": tree["key"][::-1]}) != expected
    assert fingerprint(tree | {"key": jax.random.split(jax.random.key(1), 2)}) != expected


def test_sign_of_zero_counts():
    assert fingerprint(jnp.float32(0)) != fingerprint(jnp.float32(-0.0))


@pytest.mark.parametrize("distance", [1, 2, 256, 512])
@pytest.mark.parametrize(("x", "y"), [(1.0, 2.0), (1.0, -1.0), (0.0, -0.0), (0.5, 0.3)])
def test_exchanged_words_count(x, y, distance):
    zeros = jnp.zeros(distance + 1)
    one_way = zeros.at[0].set(x).at[distance].set(y)
    other_way = zeros.at[0].set(y).at[distance].set(x)
    assert fingerprint(one_way) != fingerprint(other_way)


def test_exchanged_leaves_count():
    x, y = jnp.arange(3.0), jnp.array([0.5, -1.0, 2.0])
    assert fingerprint([x, y]) != fingerprint([y, x])


def test_equal_bits_have_equal_fingerprints():
    nan = {"x": jnp.array([jnp.nan, 1.0])}
    assert fingerprint(nan) == fingerprint(jax.tree.map(jnp.copy, nan))
    assert int(replica_fingerprint(LEAVES)) == fingerprint(LEAVES)  # compiled or not


@pytest.mark.parametrize("num_devices", [2, 3, 8])
def test_one_bit_on_one_device_is_noticed_by_all(num_devices):
    tree = {name: jnp.stack([leaf] * num_devices) for name, leaf in LEAVES.items()}
    identical = on_devices(are_replicas_identical, tree)
    np.testing.assert_array_equal(identical, np.ones(num_devices, bool))
    odd_one = jnp.stack(
        [LEAVES["float32"]] * (num_devices - 1) + [with_flipped_bit(LEAVES["float32"], 2, 0)]
    )
    identical = on_devices(are_replicas_identical, tree | {"float32": odd_one})
    np.testing.assert_array_equal(identical, np.zeros(num_devices, bool))
