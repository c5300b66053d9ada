"""Runs the per-device program on a grid of devices, of one process or many, by `jax.shard_map`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ksim.config import ConfigError
from ksim.config.concerns import check_fsdp_divides
from ksim.parallel.layouts import fsdp_specs
from ksim.parallel.mesh import BATCH_AXIS, FSDP_AXIS, mesh_of
from ksim.parallel.partitioners.base import Partitioner, Placement, Tree
from ksim.parallel.partitioners.whole_arrays import whole_array, whole_arrays
from ksim.xla.key_data import map_key_data, without_key


class ShardMap(Partitioner):
    """Runs the program under `jax.shard_map` over a mesh `(batch, fsdp)`.

    Environments are split over both axes, in the order of the devices; large parameters over
    `fsdp`. The devices may belong to several processes that run the same program: then every
    process calls every method, with the same arguments.
    """

    def __init__(
        self,
        devices: Sequence[jax.Device],
        axis_name: str = BATCH_AXIS,
        fsdp_devices: int = 1,
        fsdp_min_size_mbytes: float = 4.0,
    ) -> None:
        """Makes the mesh.

        Args:
          devices: the devices of all processes, in the order of the environments.
          axis_name: name of the first axis of the mesh; the second is called `fsdp`.
          fsdp_devices: devices that share one copy of the large parameters.
          fsdp_min_size_mbytes: least size of a parameter that is split, in units of 2^20 bytes.

        Raises:
          ConfigError: if `fsdp_devices` does not divide the number of devices.
        """
        if axis_name == FSDP_AXIS:
            raise ConfigError(
                f'The axis name "{FSDP_AXIS}" is taken by the axis that splits parameters.'
                " Write pmap_axis_name=device."
            )
        super().__init__(devices, (axis_name, FSDP_AXIS))
        check_fsdp_divides(fsdp_devices, len(self.devices))
        self._fsdp_devices = fsdp_devices
        self._fsdp_min_size_mbytes = fsdp_min_size_mbytes
        self.mesh = mesh_of(self.devices, fsdp_devices, axis_name)

    @property
    def group_size(self) -> int:
        """See `Partitioner.group_size`."""
        return self._fsdp_devices

    @property
    def group_axis_name(self) -> str | None:
        """See `Partitioner.group_axis_name`."""
        return FSDP_AXIS if self._fsdp_devices > 1 else None

    def parameter_specs(self, parameters: Any) -> Any:
        """See `Partitioner.parameter_specs`; the rules are those of `fsdp_sharding`."""
        return fsdp_specs(parameters, self._fsdp_devices, self._fsdp_min_size_mbytes)

    def partition(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Placement | Any],
        outputs: Placement | Any | Sequence[Placement | Any],
        donate: Sequence[int] = (),
    ) -> Any:
        """See `Partitioner.partition`."""
        in_specs = tuple(self._specs(placement) for placement in inputs)
        if isinstance(outputs, (tuple, list)):
            out_specs: Any = tuple(self._specs(placement) for placement in outputs)
        else:
            out_specs = self._specs(outputs)
        mapped = jax.shard_map(
            function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
        )
        return jax.jit(
            mapped,
            in_shardings=self._shardings(in_specs),
            out_shardings=self._shardings(out_specs),
            donate_argnums=tuple(donate),
        )

    def replicate_state(self, tree: Tree) -> Tree:
        """See `Partitioner.replicate_state`."""
        return jax.tree.map(lambda leaf: self._place(leaf, PartitionSpec()), tree)

    def place_state(self, tree: Tree, specs: Any) -> Tree:
        """See `Partitioner.place_state`."""
        return jax.tree.map(lambda spec, leaf: self._place(leaf, spec), specs, tree)

    def shard_environments(self, tree: Tree) -> Tree:
        """See `Partitioner.shard_environments`."""
        self.check_divisible(tree)
        return jax.tree.map(lambda leaf: self._place(leaf, PartitionSpec(self.axis_name)), tree)

    def placed_shapes(self, shapes: Tree, placement: Placement | Any) -> Tree:
        """See `Partitioner.placed_shapes`."""
        specs = self._specs(placement)
        if isinstance(specs, PartitionSpec):
            specs = jax.tree.map(lambda _: specs, shapes)
        return jax.tree.map(
            lambda spec, leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=NamedSharding(self.mesh, spec)
            ),
            specs,
            shapes,
        )

    def place_parts(self, tree: Tree) -> Tree:
        """See `Partitioner.place_parts`."""

        def joined(leaf: Any) -> Any:
            return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])

        return self.shard_environments(jax.tree.map(joined, tree))

    def unreplicate_state(self, tree: Tree) -> Tree:
        """See `Partitioner.unreplicate_state`."""
        return jax.tree.map(lambda leaf: map_key_data(whole_array, leaf), tree)

    def gather_environments(self, tree: Tree) -> Tree:
        """See `Partitioner.gather_environments`."""
        words, structure = jax.tree.flatten(jax.tree.map(without_key, tree))
        whole = jax.tree.unflatten(structure, whole_arrays(words))
        return jax.tree.map(lambda leaf, words: map_key_data(lambda _: words, leaf), tree, whole)

    def gather_steps(self, tree: Tree) -> Tree:
        """See `Partitioner.gather_steps`."""

        def by_steps(whole: Any) -> Any:
            num_steps = whole.shape[0] // self.num_devices
            per_device, *shape = whole.shape[1:]
            by_device = whole.reshape(self.num_devices, num_steps, per_device, *shape)
            by_time = np.moveaxis(by_device, 0, 1)
            return by_time.reshape(num_steps, self.num_devices * per_device, *shape)

        whole = self.gather_environments(tree)
        return jax.tree.map(lambda leaf: map_key_data(by_steps, leaf), whole)

    def _specs(self, placement: Placement | Any) -> Any:
        if placement is Placement.REPLICATED:
            return PartitionSpec()
        if placement is Placement.SHARDED:
            return PartitionSpec(self.axis_name)
        return placement

    def _shardings(self, specs: Any) -> Any:
        return jax.tree.map(lambda spec: NamedSharding(self.mesh, spec), specs)

    def _place(self, leaf: Any, spec: PartitionSpec) -> Any:
        sharding = NamedSharding(self.mesh, spec)

        def place(words: Any) -> jax.Array:
            words = np.asarray(words)
            # A copy for each device: one that aliases its input must not be donated.
            return jax.make_array_from_callback(
                words.shape, sharding, lambda index: np.array(words[index])
            )

        return map_key_data(place, leaf)
