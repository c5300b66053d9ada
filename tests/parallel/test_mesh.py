"""Meshes of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import ksim
from ksim.config import ConfigError


def test_all_devices_by_default():
    mesh = ksim.make_mesh()
    assert mesh.axis_names == ("batch", "fsdp")
    assert dict(mesh.shape) == {"batch": 8, "fsdp": 1}
    assert mesh.axis_types == (AxisType.Auto, AxisType.Auto)
    assert mesh.devices.ravel().tolist() == jax.devices()


def test_neighbours_share_parameters():
    mesh = ksim.make_mesh(num_fsdp_devices=2, num_devices=6)
    ids = np.vectorize(lambda device: device.id)(mesh.devices)
    assert ids.tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("num_fsdp_devices", "num_devices", "message"),
    [
        (3, 8, r"num_fsdp_devices=3 must divide the number of devices \(8\)\. "
               r"Write num_fsdp_devices=2; possible are 1, 2, 4, 8\."),
        (16, 8, "Write num_fsdp_devices=8"),
        (0, 8, "Write num_fsdp_devices=1"),
        (1, 9, r"num_devices=9, but there are 8 device\(s\)\. Write num_devices=8 or less"),
        (1, 0, "num_devices=0"),
    ],
)  # fmt: skip
def test_bad_sizes_are_refused(num_fsdp_devices, num_devices, message):
    with pytest.raises(ConfigError, match=message):
        ksim.make_mesh(num_fsdp_devices, num_devices)


def test_set_mesh_serves_specs_within_the_block():
    with ksim.set_mesh(num_fsdp_devices=2, num_devices=4) as mesh:
        assert dict(mesh.shape) == {"batch": 2, "fsdp": 2}
        # A bare PartitionSpec needs a mesh that is set.
        doubled = jax.jit(
            lambda x: jax.lax.with_sharding_constraint(2 * x, PartitionSpec(("batch", "fsdp")))
        )(jnp.arange(8.0))
    assert doubled.sharding.is_equivalent_to(ksim.data_sharding(mesh), 1)
    assert doubled.tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert not jax.sharding.get_abstract_mesh().axis_names


def test_shardings_have_the_specs_of_the_guide():
    mesh = ksim.make_mesh(2)
    assert isinstance(ksim.data_sharding(mesh), NamedSharding)
    assert ksim.data_sharding(mesh).spec == PartitionSpec(("batch", "fsdp"))
    assert ksim.replicate_sharding(mesh).spec == PartitionSpec()
