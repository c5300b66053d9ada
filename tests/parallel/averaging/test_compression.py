"""Averages that send fewer bytes: what arrives, what is postponed, what is on the wire."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ksim.config import ConfigError
from ksim.parallel import (
    Compression,
    Placement,
    Pmap,
    ShardMap,
    SingleDevice,
    Synchronisation,
    are_replicas_identical,
)
from ksim.parallel.averaging.compression import BLOCK
from tests.compiled_text import collectives_in

REPLICATED, SHARDED = Placement.REPLICATED, Placement.SHARDED
KINDS = ("float16", "int8")
# The largest error of one rounding of numbers of size 1, relative: half a step.
STEP = {"float16": 2.0**-11, "int8": 0.5 / 127}
NUM_DEVICES = 4
SHAPES = {"kernel": (30, 40), "bias": (40,), "scale": ()}


def make_gradients(seed=0):
    """`[NUM_DEVICES, ...]`, of another size in each leaf, and different on every device."""
    random = np.random.default_rng(seed)
    return {
        name: (10.0**-index * random.standard_normal((NUM_DEVICES, *shape))).astype(np.float32)
        for index, (name, shape) in enumerate(SHAPES.items())
    }


def local(tree):
    return jax.tree.map(lambda leaf: leaf[0], tree)


def stacked(tree):
    return jax.tree.map(lambda leaf: leaf[None], tree)


@pytest.fixture(params=[Pmap, ShardMap], scope="module")
def partitioner(request):
    return request.param(jax.local_devices()[:NUM_DEVICES])


def average(partitioner, kind, gradients, errors, is_last=False):
    """Returns means and errors of every device, `[NUM_DEVICES, ...]`."""

    def program(gradients, errors):
        mean, errors = Compression(kind).mean(
            local(gradients), local(errors), jnp.bool_(is_last), partitioner.axis_name
        )
        return stacked(mean), stacked(errors)

    run = partitioner.partition(program, (SHARDED, SHARDED), (SHARDED, SHARDED))
    found = run(*map(partitioner.shard_environments, (gradients, errors)))
    return partitioner.gather_environments(found)


def zeros_like(tree):
    return jax.tree.map(np.zeros_like, tree)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_is_right_up_to_two_roundings(partitioner, kind):
    gradients = make_gradients()
    means, _ = average(partitioner, kind, gradients, zeros_like(gradients))
    for name, mean in means.items():
        # Before it is sent and after it is averaged; numbers are at most 5 times their deviation.
        largest = np.abs(gradients[name]).max() if name == "kernel" else 5.0
        np.testing.assert_allclose(
            mean[0], gradients[name].mean(0), rtol=0, atol=2 * STEP[kind] * largest
        )
        for other in mean[1:]:
            assert other.tobytes() == mean[0].tobytes()  # bit for bit on all devices


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_but_postponed(partitioner, kind):
    """sum_t mean_t + mean over devices of the last errors = sum_t true mean_t."""
    errors = zeros_like(make_gradients())
    sent, true = zeros_like(local(errors)), zeros_like(local(errors))
    for seed in range(5):
        gradients = make_gradients(seed)
        means, errors = average(partitioner, kind, gradients, errors)
        sent = jax.tree.map(lambda total, mean: total + mean[0], sent, means)
        true = jax.tree.map(lambda total, gradient: total + gradient.mean(0), true, gradients)
    assert np.abs(errors["kernel"]).max() > 1e-5
    for name in sent:
        found = sent[name] + errors[name].mean(0)
        np.testing.assert_allclose(found, true[name], rtol=1e-4, atol=3e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_update_sends_the_remainder(partitioner, kind):
    gradients = make_gradients()
    errors = jax.tree.map(lambda leaf: 0.1 * leaf, make_gradients(1))
    means, left = average(partitioner, kind, gradients, errors, is_last=True)
    for name, mean in means.items():
        expected = (gradients[name] + errors[name]).mean(0)
        # One rounding of what two roundings have left, and again.
        tolerance = (2 * STEP[kind]) ** 2 * 20
        np.testing.assert_allclose(mean[0], expected, rtol=0, atol=max(tolerance, 1e-6))
        assert not np.any(left[name])


def test_what_is_not_a_number_stays_so(partitioner):
    gradients = make_gradients()
    gradients["scale"][1] = np.nan
    means, _ = average(partitioner, "int8", gradients, zeros_like(gradients))
    assert np.isnan(means["scale"]).all()


def test_zeros_are_exact(partitioner):
    gradients = zeros_like(make_gradients())
    means, errors = average(partitioner, "int8", gradients, gradients)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves((means, errors)))


@pytest.mark.parametrize(("kind", "wire_type"), [("float16", "f16"), ("int8", "s8")])
def test_the_wire_type_is_that_of_the_options(kind, wire_type):
    partitioner = ShardMap(jax.local_devices()[:NUM_DEVICES])
    gradients = {"kernel": jnp.zeros((NUM_DEVICES, 1000, 3))}

    def program(gradients):
        mean, _ = Compression(kind).mean(
            local(gradients), local(gradients), False, partitioner.axis_name
        )
        return mean

    run = partitioner.partition(program, (SHARDED,), REPLICATED)
    compiled = run.lower(partitioner.shard_environments(gradients)).compile()
    # 3000 numbers are 24 blocks, 6 for each device, with a scale for each block.
    numbers_and_scales = ((wire_type, 24 * BLOCK), ("f32", 24))
    assert sorted(collectives_in(compiled)) == sorted(
        (name, dtype, size)
        for name in ("all-to-all", "all-gather")
        for dtype, size in numbers_and_scales
    )


def test_one_device_sends_and_rounds_nothing():
    partitioner = SingleDevice(jax.local_devices()[0])
    gradients = jax.tree.map(lambda leaf: leaf[:1], make_gradients())
    means, errors = average(partitioner, "int8", gradients, zeros_like(gradients))
    jax.tree.map(np.testing.assert_array_equal, means, gradients)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(errors))


def test_whole_parameters_are_rounded_alike_in_a_group():
    """A block must not hold numbers of two leaves: shards differ within the group."""
    partitioner = ShardMap(jax.local_devices()[:4], "batch", 2, fsdp_min_size_mbytes=0)
    parameters = {"bias": np.sin(np.arange(5.0, dtype=np.float32)),
                  "kernel": np.arange(24.0, dtype=np.float32).reshape(6, 4)}  # fmt: skip
    shards = partitioner.parameter_shards(parameters)

    def program(parameters):
        gradients = jax.tree.map(lambda leaf: leaf * (1 + lax.axis_index("batch")), parameters)
        errors = jax.tree.map(jnp.zeros_like, gradients)
        mean, _ = Compression("int8").mean(gradients, errors, False, "batch")
        is_same = are_replicas_identical(mean["bias"], partitioner.axis_name)
        return jnp.full(1, is_same), mean

    run = partitioner.partition(program, (shards.specs,), (SHARDED, shards.specs))
    is_same, mean = run(partitioner.place_state(parameters, shards.specs))
    assert partitioner.gather_environments(is_same).all()
    # The mean of the factors 1 and 2 is 1.5.
    found = partitioner.unreplicate_state(mean)
    np.testing.assert_allclose(found["kernel"], 1.5 * parameters["kernel"], atol=0.3)
    np.testing.assert_allclose(found["bias"], 1.5 * parameters["bias"], atol=0.02)


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="one of none, float16, int8, not int4"):
        Compression("int4")


def test_a_synchronisation_of_ones_own_leaves_nothing_to_compress():
    with pytest.raises(ConfigError, match=r"Write grad_compression=none, or remove custom_grad"):
        Synchronisation(
            "device", average_gradients=lambda grads: grads, compression=Compression("int8")
        )
