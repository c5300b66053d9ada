"""Runs the per-device program on several local devices, by `jax.pmap`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ksim.parallel.partitioners.base import Partitioner, Placement, Tree
from ksim.xla.key_data import map_key_data


class Pmap(Partitioner):
    """Runs the program under `jax.pmap`, one copy on each local device.

    Every array has a leading axis `[num_devices, ...]`: replicated arrays hold one copy for each
    device, sharded ones `[num_devices, num_envs / num_devices, ...]`.
    """

    def __init__(self, devices: Sequence[jax.Device], axis_name: str = "device") -> None:
        super().__init__(devices, axis_name)
        mesh = Mesh(np.array(self.devices), (axis_name,), axis_types=(AxisType.Auto,))
        self._sharding = NamedSharding(mesh, PartitionSpec(axis_name))

    def partition(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Placement | Any],
        outputs: Placement | Any | Sequence[Placement | Any],
        donate: Sequence[int] = (),
    ) -> Any:
        """See `Partitioner.partition`. Both placements are the same here: a leading device axis."""
        return jax.pmap(
            function,
            axis_name=self.axis_name,
            devices=self.devices,
            donate_argnums=tuple(donate),
        )

    def replicate_state(self, tree: Tree) -> Tree:
        """See `Partitioner.replicate_state`."""

        def replicate(leaf: Any) -> Any:
            leaf = np.asarray(leaf)
            return self._place(np.broadcast_to(leaf, (self.num_devices, *leaf.shape)))

        return jax.tree.map(lambda leaf: map_key_data(replicate, leaf), tree)

    def shard_environments(self, tree: Tree) -> Tree:
        """See `Partitioner.shard_environments`."""
        self.check_divisible(tree)

        def shard(leaf: Any) -> Any:
            leaf = np.asarray(leaf)
            per_device = leaf.shape[0] // self.num_devices
            return self._place(leaf.reshape(self.num_devices, per_device, *leaf.shape[1:]))

        return jax.tree.map(lambda leaf: map_key_data(shard, leaf), tree)

    def placed_shapes(self, shapes: Tree, placement: Placement | Any) -> Tree:
        """See `Partitioner.placed_shapes`."""

        def stacked(leaf: Any) -> Any:
            shape = leaf.shape
            if placement is Placement.SHARDED:
                shape = (shape[0] // self.num_devices, *shape[1:])
            shape = (self.num_devices, *shape)
            return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=self._sharding)

        return jax.tree.map(stacked, shapes)

    def place_parts(self, tree: Tree) -> Tree:
        """See `Partitioner.place_parts`."""
        return jax.tree.map(lambda leaf: map_key_data(self._place, leaf), tree)

    def unreplicate_state(self, tree: Tree) -> Tree:
        """See `Partitioner.unreplicate_state`."""

        def first_replica(leaf: Any) -> Any:
            # One device's shard, read from that device: indexing the global array would gather it.
            return np.array(leaf.addressable_data(0)[0])

        return jax.tree.map(lambda leaf: map_key_data(first_replica, leaf), tree)

    def gather_environments(self, tree: Tree) -> Tree:
        """See `Partitioner.gather_environments`."""

        def gather(leaf: Any) -> Any:
            # No -1 in the shape: an array may have no elements.
            return np.array(leaf).reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])

        return jax.tree.map(lambda leaf: map_key_data(gather, leaf), tree)

    def gather_steps(self, tree: Tree) -> Tree:
        """See `Partitioner.gather_steps`."""

        def gather(leaf: Any) -> Any:
            num_devices, num_steps, per_device, *shape = leaf.shape
            by_time = np.moveaxis(np.array(leaf), 0, 1)
            return by_time.reshape(num_steps, num_devices * per_device, *shape)

        return jax.tree.map(lambda leaf: map_key_data(gather, leaf), tree)

    def _place(self, stacked: np.ndarray) -> jax.Array:
        return jax.device_put(np.ascontiguousarray(stacked), self._sharding)
