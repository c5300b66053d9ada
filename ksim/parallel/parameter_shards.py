"""Parameters that lie in shards, as the per-device program sees them.

A pytree of `PartitionSpec` gives the split of each leaf, decided once from the shapes of the whole
leaves; nothing here asks an array for its sharding.
"""

import dataclasses
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

Tree = TypeVar("Tree")


@dataclasses.dataclass(frozen=True)
class ParameterShards:
    """Gathers and averages parameters that the devices of a group share.

    A group acts as one device: its members compute gradients from their own environments, and
    average them on every update. Without groups nothing is split, and nothing is averaged here.

    Attributes:
      axis_name: the axis over the devices of a group; `None` if there are no groups.
      size: devices in a group.
      shapes: pytree of `jax.ShapeDtypeStruct`, the whole parameters.
      specs: pytree of `PartitionSpec`, like the parameters.
    """

    axis_name: str | None = None
    size: int = 1
    shapes: Any = None
    specs: Any = None

    def gather(self, parameters: Tree) -> Tree:
        """Returns whole parameters.

        Under `jax.grad` the gradient of a gathered leaf is summed over the group and scattered:
        each device is left with the gradient of its own shard, and `average` divides it.
        """
        return parameters if self.axis_name is None else gather_shards(parameters, self.specs)

    def average(self, gradients: Tree) -> Tree:
        """Returns the mean over the group of gradients that were taken through `gather`."""
        if self.axis_name is None:
            return gradients

        def average(spec: PartitionSpec, gradient: Array) -> Array:
            if split_axis(spec) is None:
                return lax.pmean(gradient, self.axis_name)
            return gradient / self.size

        return jax.tree.map(average, self.specs, gradients)

    def norm(self, tree: Any) -> Float[Array, ""]:
        """Returns the Euclidean norm of all numbers in a pytree of shards.

        Args:
          tree: like the parameters; leaves may be missing, as in `optax.masked`.
        """
        if self.axis_name is None:
            return optax.tree.norm(tree)
        spec_at = dict(jax.tree_util.tree_leaves_with_path(self.specs))
        whole, split = jnp.float32(0), jnp.float32(0)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            square = jnp.sum(jnp.square(jnp.abs(leaf)))
            if path in spec_at and split_axis(spec_at[path]) is not None:
                split += square
            else:
                whole += square
        return jnp.sqrt(whole + lax.psum(split, self.axis_name))


def split_axis(spec: PartitionSpec) -> int | None:
    """Returns the axis of an array that is split; `None` if none is."""
    return next((axis for axis, name in enumerate(spec) if name is not None), None)


def gather_shards(tree: Tree, specs: Any) -> Tree:
    """Returns whole arrays on every device, inside a per-device program.

    Args:
      tree: shards.
      specs: pytree of `PartitionSpec`, like `tree`.
    """

    def gather(spec: PartitionSpec, leaf: Array) -> Array:
        axis = split_axis(spec)
        return leaf if axis is None else lax.all_gather(leaf, spec[axis], axis=axis, tiled=True)

    return jax.tree.map(gather, specs, tree)


def has_shards(specs: Any) -> bool:
    """Returns whether any leaf is split."""
    return any(split_axis(spec) is not None for spec in jax.tree.leaves(specs))
