"""Layouts of arrays on a mesh: data, copies, and shards of large parameters."""

from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ksim.parallel.mesh import FSDP_AXIS

Tree = TypeVar("Tree")

BYTES_IN_MEGABYTE = 2**20


def data_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of data: the leading axis is split over all axes of the mesh."""
    return NamedSharding(mesh, PartitionSpec(mesh.axis_names))


def replicate_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of arrays of which every device has a full copy."""
    return NamedSharding(mesh, PartitionSpec())


def fsdp_sharding(pytree: Any, mesh: Mesh, min_size_mbytes: float = 4) -> Any:
    """Returns the sharding of each leaf of a pytree of parameters.

    Leaves smaller than `min_size_mbytes` are replicated, since their communication would cost more
    than the memory is worth; and so are scalars and arrays of one axis. Any other leaf is split
    over the axis `fsdp`, along the largest of its axes whose length the size of `fsdp` divides (the
    first of several), or replicated if there is none. If `fsdp` has one device all are replicated.

    Args:
      pytree: arrays, or `jax.ShapeDtypeStruct` as `jax.eval_shape` gives.
      mesh: a mesh with an axis `fsdp`, as `make_mesh` gives.
      min_size_mbytes: least size of a leaf that is split, in units of 2^20 bytes.

    Returns:
      A pytree of `NamedSharding`.

    Raises:
      ValueError: if the mesh has no axis `fsdp`.

    Reference:
      Rajbhandari et al. 2020, "ZeRO: Memory optimizations toward training trillion parameter
      models", arXiv:1910.02054.
    """
    return jax.tree.map(
        lambda spec: NamedSharding(mesh, spec),
        fsdp_specs(pytree, _fsdp_size(mesh), min_size_mbytes),
        is_leaf=lambda leaf: isinstance(leaf, PartitionSpec),
    )


def fsdp_specs(pytree: Any, num_fsdp_devices: int, min_size_mbytes: float = 4) -> Any:
    """Returns the `PartitionSpec` of each leaf, by the rules of `fsdp_sharding`."""

    def spec(leaf: Any) -> PartitionSpec:
        axis = _axis_to_split(leaf, num_fsdp_devices, min_size_mbytes)
        if axis is None:
            return PartitionSpec()
        return PartitionSpec(*(FSDP_AXIS if i == axis else None for i in range(len(leaf.shape))))

    return jax.tree.map(spec, pytree)


def activation_sharding_constraint(x: Tree, mesh: Mesh) -> Tree:
    """Asks the compiler, inside `jax.jit`, to split the leading axis of arrays over the mesh."""
    return jax.lax.with_sharding_constraint(x, data_sharding(mesh))


def shard_pytree(pytree: Tree, mesh: Mesh) -> Tree:
    """Puts arrays onto a mesh, their leading axis split over all devices.

    Raises:
      ValueError: if a leading axis is not divisible by the number of devices.
    """
    for path, leaf in jax.tree.leaves_with_path(pytree):
        shape = np.shape(leaf)
        if not shape or shape[0] % mesh.size:
            raise ValueError(
                f"shard_pytree: leaf{jax.tree_util.keystr(path)} has the shape {shape}; its leading"
                f" axis must be divisible by the number of devices ({mesh.size})."
                " Write replicate_on_mesh for arrays that every device needs."
            )
    return jax.device_put(pytree, data_sharding(mesh))


def replicate_on_mesh(pytree: Tree, mesh: Mesh) -> Tree:
    """Puts a full copy of every array onto every device of a mesh."""
    return jax.device_put(pytree, replicate_sharding(mesh))


def _fsdp_size(mesh: Mesh) -> int:
    if FSDP_AXIS not in mesh.shape:
        raise ValueError(
            f'The mesh has no axis "{FSDP_AXIS}". Axes: {", ".join(map(str, mesh.axis_names))}.'
            " Write make_mesh(num_fsdp_devices=...)."
        )
    return mesh.shape[FSDP_AXIS]


def _axis_to_split(leaf: Any, num_fsdp_devices: int, min_size_mbytes: float) -> int | None:
    shape = leaf.shape
    num_bytes = int(np.prod(shape, dtype=np.int64)) * leaf.dtype.itemsize
    if num_fsdp_devices == 1 or len(shape) < 2 or num_bytes < min_size_mbytes * BYTES_IN_MEGABYTE:
        return None
    divisible = [axis for axis, length in enumerate(shape) if length % num_fsdp_devices == 0]
    return max(divisible, key=lambda axis: shape[axis], default=None)
