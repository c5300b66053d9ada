"""Joins many small arrays into one, for operations that treat all of them alike.

Every operation takes XLA time to compile and to start, however small its array is, and a batch, a
network or the state of an optimizer has dozens. All of it is JAX's public interface, tried
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
    """The layout of a pytree in joined arrays.

    Attributes:
      structure: structure of the pytree.
      shapes: shape of each leaf, without the common axes.
      places: name of the array that each leaf is a part of.
    """

    structure: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]
    places: tuple[str, ...]


@struct.dataclass
class Joined:
    """The arrays of a pytree side by side, those of one type in one array.

    `jax.tree.map` then treats one or two arrays instead of dozens.

    Attributes:
      arrays: `{dtype: [*axes, width]}`, in the order of the first leaves; a leaf that stands alone
        has its number behind its type.
      layout: layout by which they are split again.
    """

    arrays: dict[str, Array]
    layout: Layout = struct.field(pytree_node=False)

    @classmethod
    def of(cls, tree: Any, num_axes: int, alone_from: int | None = None) -> "Joined":
        """Joins the arrays of a pytree.

        Args:
          tree: arrays `[*axes, ...]` with common first axes.
          num_axes: number of common axes.
          alone_from: least size of a leaf that stands alone, so that joining takes little memory;
            `None` for none.
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
        """Returns the pytree again, with the first axes that the arrays have now."""
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
