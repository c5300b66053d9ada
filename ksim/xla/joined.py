"""Joins many small arrays into one, for what is done to all of them alike.

What XLA makes of an array takes it time to compile and to start, however small the array is, and a
batch, a network or the state of an optimizer has dozens. All of it is JAX's public interface, tried
with jax 0.9.2 and 0.12.0.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array


class Layout(NamedTuple):
    """Says how a pytree of arrays was joined.

    Attributes:
      structure: of the pytree.
      shapes: of each leaf, without the axes that all have in common.
      places: of each leaf, the name of the array that it is a part of.
    """

    structure: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]
    places: tuple[str, ...]


@struct.dataclass
class Joined:
    """Holds the arrays of a pytree side by side, those of one type in one array.

    What is to be done to all is done, by `jax.tree.map`, to one or two.

    Attributes:
      arrays: `{dtype: [*axes, width]}`, in the order of the first leaves; a leaf that stands alone
        has its number behind its type.
      layout: how to take them apart.
    """

    arrays: dict[str, Array]
    layout: Layout = struct.field(pytree_node=False)

    @classmethod
    def of(cls, tree: Any, num_axes: int, alone_from: int | None = None) -> "Joined":
        """Joins the arrays of a pytree.

        Args:
          tree: arrays `[*axes, ...]` that have their first axes in common.
          num_axes: how many axes those are.
          alone_from: numbers in a leaf from which it stands alone, so that joining takes little
            memory; `None` for none.
        """
        leaves, structure = jax.tree.flatten(tree)
        leaves = [jnp.asarray(leaf) for leaf in leaves]
        rows: dict[str, list[Array]] = {}
        places = []
        for number, leaf in enumerate(leaves):
            width = math.prod(leaf.shape[num_axes:])
            row = leaf.reshape(*leaf.shape[:num_axes], width)
            is_alone = alone_from is not None and leaf.size >= alone_from
            places.append(f"{leaf.dtype} {number}" if is_alone else str(leaf.dtype))
            rows.setdefault(places[-1], []).append(row)
        return cls(
            {place: jnp.concatenate(several, axis=-1) for place, several in rows.items()},
            Layout(structure, tuple(leaf.shape[num_axes:] for leaf in leaves), tuple(places)),
        )

    def split(self) -> Any:
        """Returns the pytree again; its first axes are those that the arrays have by now."""
        structure, shapes, places = self.layout
        parts = {}
        for name, array in self.arrays.items():
            own = [s for s, place in zip(shapes, places, strict=True) if place == name]
            ends = list(itertools.accumulate(map(math.prod, own)))[:-1]
            parts[name] = iter(jnp.split(array, ends, axis=-1))
        leaves = [next(parts[place]) for place in places]
        return jax.tree.unflatten(
            structure,
            [
                leaf.reshape(*leaf.shape[:-1], *shape)
                for leaf, shape in zip(leaves, shapes, strict=True)
            ],
        )
