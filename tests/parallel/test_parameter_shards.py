"""Parameters in shards, inside a per-device program."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.sharding import PartitionSpec as P

from ksim.parallel import (
    ParameterShards,
    Placement,
    Pmap,
    ShardMap,
    SingleDevice,
    are_replicas_identical,
    replica_drift,
)

REPLICATED, SHARDED = Placement.REPLICATED, Placement.SHARDED
NUM_ENVS = 8
KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4) / 5
PARAMETERS = {"kernel": KERNEL, "bias": np.float32([0.5, -1, 2, 0.25])}
INPUTS = np.sin(np.arange(NUM_ENVS * 3, dtype=np.float32)).reshape(NUM_ENVS, 3)


def make_partitioner(num_devices, fsdp_devices):
    """`fsdp_devices` is `None` for one device or `jax.pmap`."""
    devices = jax.local_devices()[:num_devices]
    if fsdp_devices is None:
        return SingleDevice(devices[0]) if num_devices == 1 else Pmap(devices)
    return ShardMap(devices, "device", fsdp_devices, fsdp_min_size_mbytes=0)


def local_loss(parameters, x):
    """Differs between devices: every environment has its own input, and enters squared."""
    return jnp.mean((x @ parameters["kernel"] + parameters["bias"][None]) ** 2)


def run(partitioner, function, parameters=PARAMETERS):
    """Calls `function(shards, parameters, x)`; the result lies as the parameters do."""
    shards = partitioner.parameter_shards(parameters)
    specs = partitioner.parameter_specs(parameters)
    program = partitioner.partition(
        lambda parameters, x: function(shards, parameters, x), (specs, SHARDED), specs
    )
    placed = partitioner.place_state(parameters, specs)
    result = program(placed, partitioner.shard_environments(INPUTS))
    return result, partitioner.unreplicate_state(result)


@pytest.mark.parametrize(
    ("num_devices", "fsdp_devices"),
    [(1, None), (4, None), (2, 1), (2, 2), (4, 2), (8, 2), (8, 4)],
)
def test_the_gradient_is_that_of_one_device(num_devices, fsdp_devices):
    partitioner = make_partitioner(num_devices, fsdp_devices)

    def gradient(shards, parameters, x):
        gradients = jax.grad(lambda p: local_loss(shards.gather(p), x))(parameters)
        axes = partitioner.axis_name
        replica_axes = "device" if shards.axis_name else axes
        return lax.pmean(shards.average(gradients), replica_axes)

    _, found = run(partitioner, gradient)
    expected = jax.grad(local_loss)(PARAMETERS, INPUTS)
    for name in PARAMETERS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def test_shards_lie_where_the_specs_say():
    partitioner = make_partitioner(4, 2)
    placed, whole = run(partitioner, lambda shards, parameters, x: parameters)
    # 4 is the largest axis of [3, 4], and even.
    assert placed["kernel"].sharding.spec == P(None, "fsdp")
    assert {shard.data.shape for shard in placed["kernel"].addressable_shards} == {(3, 2)}
    assert placed["bias"].is_fully_replicated
    for name in PARAMETERS:
        np.testing.assert_array_equal(whole[name], PARAMETERS[name])


def test_norm_is_that_of_whole_parameters():
    partitioner = make_partitioner(4, 2)

    def norms(shards, parameters, x):
        norm = shards.norm(parameters)
        kernel_only = shards.norm({"kernel": parameters["kernel"], "bias": optax.MaskedNode()})
        return {
            "kernel": jnp.full_like(parameters["kernel"], norm),
            "bias": jnp.full_like(parameters["bias"], kernel_only),
        }

    _, found = run(partitioner, norms)
    np.testing.assert_allclose(found["kernel"], optax.tree.norm(PARAMETERS), rtol=1e-6)
    np.testing.assert_allclose(found["bias"], np.linalg.norm(KERNEL), rtol=1e-6)


def test_without_groups_nothing_happens():
    shards = ParameterShards()
    assert shards.gather(PARAMETERS) is PARAMETERS
    assert shards.average(PARAMETERS) is PARAMETERS
    assert shards.norm(PARAMETERS) == optax.tree.norm(PARAMETERS)


@pytest.mark.parametrize(
    ("differs_over", "leaf", "is_identical"),
    [
        ((), "kernel", True),
        (("fsdp",), "kernel", True),  # shards may differ
        (("device",), "kernel", False),
        (("fsdp",), "bias", False),
        (("device",), "bias", False),
        (("device", "fsdp"), "kernel", False),  # one of the shards: all devices must know of it
    ],
)
def test_copies_are_compared_where_they_should_be_the_same(differs_over, leaf, is_identical):
    partitioner = make_partitioner(4, 2)
    specs = partitioner.parameter_specs(PARAMETERS)

    def program(parameters):
        own = math.prod(lax.axis_index(name) for name in differs_over) if differs_over else 0
        parameters = parameters | {leaf: parameters[leaf] + own}
        verdict = are_replicas_identical(parameters, partitioner.axis_name, specs)
        drift = replica_drift(parameters, partitioner.axis_name, specs)
        return jnp.full(1, verdict), jnp.full(1, drift)

    run = partitioner.partition(program, (specs,), (SHARDED, SHARDED))
    found = run(partitioner.place_state(PARAMETERS, specs))
    verdicts, drifts = partitioner.gather_environments(found)
    assert verdicts.tolist() == [is_identical] * 4
    np.testing.assert_allclose(drifts, [0.0 if is_identical else 1.0] * 4, rtol=1e-6)
