"""How arrays lie on a mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import ksim

# 4 bytes each; 2^20 of them are 4 MB, just large enough.
LARGE = 2**20


def spec_of(shape, num_fsdp_devices=2, dtype=jnp.float32, **options):
    leaf = jax.ShapeDtypeStruct(shape, dtype)
    return ksim.fsdp_sharding({"leaf": leaf}, ksim.make_mesh(num_fsdp_devices), **options)[
        "leaf"
    ].spec


def test_the_example_of_the_guide():
    params = {
        "small_weight": jax.ShapeDtypeStruct((8, 8), jnp.float32),
        "bias": jax.ShapeDtypeStruct((64,), jnp.float32),
        "large_weight": jax.ShapeDtypeStruct((2048, 1024), jnp.float32),
    }
    shardings = ksim.fsdp_sharding(params, ksim.make_mesh(num_fsdp_devices=2))
    assert shardings["small_weight"].spec == PartitionSpec()
    assert shardings["bias"].spec == PartitionSpec()
    assert shardings["large_weight"].spec == PartitionSpec("fsdp", None)


def test_one_byte_less_than_the_threshold_is_replicated():
    assert spec_of((1024, 1024)) == PartitionSpec("fsdp", None)  # 4 MB
    assert spec_of((1024, 1023)) == PartitionSpec()  # 4 kB less
    assert spec_of((1024, 1024), dtype=jnp.bfloat16) == PartitionSpec()  # 2 MB
    assert spec_of((1024, 1024), dtype=jnp.bfloat16, min_size_mbytes=2) == PartitionSpec(
        "fsdp", None
    )


def test_scalars_and_vectors_are_replicated():
    assert spec_of((), min_size_mbytes=0) == PartitionSpec()
    assert spec_of((8 * LARGE,)) == PartitionSpec()


def test_the_largest_divisible_axis_is_split():
    assert spec_of((512, 4096)) == PartitionSpec(None, "fsdp")
    # 4097 is the largest, but odd; then 512.
    assert spec_of((512, 4097, 2)) == PartitionSpec("fsdp", None, None)
    assert spec_of((2, 512, 4098), num_fsdp_devices=4) == PartitionSpec(None, "fsdp", None)
    # The first of equals.
    assert spec_of((2, 1024, 1024)) == PartitionSpec(None, "fsdp", None)


def test_no_divisible_axis_is_replicated():
    assert spec_of((1025, 2049)) == PartitionSpec()


def test_one_fsdp_device_replicates_everything():
    assert spec_of((4096, 4096), num_fsdp_devices=1) == PartitionSpec()


def test_shards_hold_half_the_bytes():
    mesh = ksim.make_mesh(2)
    weight = jnp.arange(2.0 * LARGE).reshape(1024, -1)
    placed = jax.device_put(weight, ksim.fsdp_sharding(weight, mesh))
    assert {shard.data.nbytes for shard in placed.addressable_shards} == {weight.nbytes // 2}
    np.testing.assert_array_equal(placed, weight)


def test_a_mesh_without_fsdp_is_refused():
    mesh = Mesh(np.array(jax.devices()), ("data",))
    with pytest.raises(ValueError, match=r'no axis "fsdp"\. Axes: data\. Write make_mesh'):
        ksim.fsdp_sharding(jnp.zeros((2, 2)), mesh)


def test_data_is_split_over_both_axes_in_order():
    mesh = ksim.make_mesh(2, num_devices=4)
    placed = ksim.shard_pytree({"x": jnp.arange(8), "key": jax.random.split(jax.random.key(0), 4)},
                               mesh)  # fmt: skip
    by_device = {shard.device.id: shard.data.tolist() for shard in placed["x"].addressable_shards}
    assert by_device == {0: [0, 1], 1: [2, 3], 2: [4, 5], 3: [6, 7]}
    assert placed["key"].shape == (4,)


@pytest.mark.parametrize("shape", [(6, 2), ()])
def test_data_that_does_not_split_is_refused(shape):
    with pytest.raises(ValueError, match=r"leaf\['x'\] has the shape .* number of devices \(4\)"):
        ksim.shard_pytree({"x": jnp.zeros(shape)}, ksim.make_mesh(num_devices=4))


def test_everyone_has_a_copy():
    placed = ksim.replicate_on_mesh({"x": jnp.arange(3)}, ksim.make_mesh(num_devices=4))["x"]
    assert placed.is_fully_replicated
    assert [shard.data.tolist() for shard in placed.addressable_shards] == [[0, 1, 2]] * 4


def test_activations_are_split_by_the_compiler():
    mesh = ksim.make_mesh(2)
    double = jax.jit(lambda x: ksim.activation_sharding_constraint(2 * x, mesh))
    doubled = double(jnp.arange(16.0))
    assert doubled.sharding.is_equivalent_to(ksim.data_sharding(mesh), 1)
    np.testing.assert_array_equal(doubled, 2 * np.arange(16.0))
