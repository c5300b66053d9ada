"""Runs the per-device program on one device."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ksim.parallel.partitioners.base import Partitioner, Placement, Tree
from ksim.xla.key_data import map_key_data, to_host


class SingleDevice(Partitioner):
    """Runs the program under `jax.jit` on one device.

    The axis name is bound over a mesh of one device, so that a program with collectives (a user's
    own among them) runs here unchanged; over one device XLA removes them.
    """

    def __init__(self, device: jax.Device, axis_name: str = "device") -> None:
        super().__init__((device,), axis_name)
        self._mesh = Mesh(np.array([device]), (axis_name,), axis_types=(AxisType.Auto,))
        self._sharding = NamedSharding(self._mesh, PartitionSpec())

    def partition(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Placement | Any],
        outputs: Placement | Any | Sequence[Placement | Any],
        donate: Sequence[int] = (),
    ) -> Any:
        """See `Partitioner.partition`."""
        everything = PartitionSpec()
        mapped = jax.shard_map(
            function,
            mesh=self._mesh,
            in_specs=tuple(everything for _ in inputs),
            out_specs=everything,
            check_vma=False,
        )
        return jax.jit(mapped, donate_argnums=tuple(donate))

    def replicate_state(self, tree: Tree) -> Tree:
        """See `Partitioner.replicate_state`."""
        return jax.tree.map(self._place, tree)

    def shard_environments(self, tree: Tree) -> Tree:
        """See `Partitioner.shard_environments`."""
        return jax.tree.map(self._place, tree)

    def placed_shapes(self, shapes: Tree, placement: Placement | Any) -> Tree:
        """See `Partitioner.placed_shapes`."""
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=self._sharding),
            shapes,
        )

    def place_parts(self, tree: Tree) -> Tree:
        """See `Partitioner.place_parts`."""
        return jax.tree.map(lambda leaf: self._place(leaf[0]), tree)

    def unreplicate_state(self, tree: Tree) -> Tree:
        """See `Partitioner.unreplicate_state`."""
        return jax.tree.map(to_host, tree)

    def gather_environments(self, tree: Tree) -> Tree:
        """See `Partitioner.gather_environments`."""
        return jax.tree.map(to_host, tree)

    def gather_steps(self, tree: Tree) -> Tree:
        """See `Partitioner.gather_steps`."""
        return jax.tree.map(to_host, tree)

    def _place(self, leaf: Any) -> Any:
        # A copy first: device_put may alias its input, and donating the result would delete it.
        return map_key_data(lambda x: jax.device_put(np.array(x), self._sharding), leaf)
