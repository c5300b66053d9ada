"""Many small arrays dealt with as one."""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array


class Layout(NamedTuple):
    """How a pytree of arrays was joined.

    Attributes:
      structure: of the pytree.
      shapes: of each leaf, without the axes that all have in common.
      dtypes: of each leaf, by name.
    """

    structure: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]


@struct.dataclass
class Joined:
    """The arrays of a pytree side by side, those of one type in one array.

    What XLA makes of an array takes it time to compile and to start, however small the array is,
    and a batch has dozens. What is done to all of them alike is done here, by `jax.tree.map`, to
    one or two.

    Attributes:
      arrays: `{dtype: [*axes, width]}`.
      layout: how to take them apart.
    """

    arrays: dict[str, Array]
    layout: Layout = struct.field(pytree_node=False)

    @classmethod
    def of(cls, tree: Any, num_axes: int) -> "Joined":
        """Joins the arrays of a pytree.

        Args:
          tree: arrays `[*axes, ...]` that have their first axes in common.
          num_axes: how many axes those are.
        """
        leaves, structure = jax.tree.flatten(tree)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        rows: dict[str, list[Array]] = {}
        for leaf in leaves:
            width = math.prod(leaf.shape[num_axes:])
            row = leaf.reshape(*leaf.shape[:num_axes], width)
            rows.setdefault(str(leaf.dtype), []).append(row)
        return cls(
            {dtype: jnp.concatenate(several, axis=-1) for dtype, several in rows.items()},
            Layout(
                structure,
                tuple(leaf.shape[num_axes:] for leaf in leaves),
                tuple(str(leaf.dtype) for leaf in leaves),
            ),
        )

    def split(self) -> Any:
        """Returns the pytree again; its first axes are those that the arrays have by now."""
        structure, shapes, dtypes = self.layout
        parts = {}
        for dtype, array in self.arrays.items():
            widths = [math.prod(s) for s, d in zip(shapes, dtypes, strict=True) if d == dtype]
            ends = list(itertools.accumulate(widths))[:-1]
            parts[dtype] = iter(jnp.split(array, ends, axis=-1))
        leaves = [next(parts[dtype]) for dtype in dtypes]
        return jax.tree.unflatten(
            structure,
            [
                leaf.reshape(*leaf.shape[:-1], *shape)
                for leaf, shape in zip(leaves, shapes, strict=True)
            ],
        )
