"""Reduces arrays over devices, inside a per-device program."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ksim.xla.joined import Joined

Tree = TypeVar("Tree")

AxisName = str | tuple[str, ...]
"""The device axis, or all axes of a grid of devices: collectives take either."""

LARGE = 2**20
"""Size in numbers from which an array is handled alone.

Smaller ones of one type are joined where nothing is lost by it: a network has dozens of arrays, the
state of its optimizer more, and each takes XLA some time, however small it is.
"""


def mean_over_devices(tree: Tree, axis_name: AxisName) -> Tree:
    """Averages every array of a pytree over the devices."""
    return _reduced(lax.pmean, tree, axis_name)


def sum_over_devices(tree: Tree, axis_name: AxisName) -> Tree:
    """Sums every array of a pytree over the devices."""
    return _reduced(lax.psum, tree, axis_name)


def average_replicas(tree: Tree, axis_name: AxisName) -> Tree:
    """Makes drifted replicas identical: floating-point leaves become their mean.

    Integers (an optimizer's step count) are the same on every device and stay as they are.
    """
    leaves, structure = jax.tree.flatten(tree)
    floating = [leaf for leaf in leaves if _is_floating(leaf)]
    means = iter(mean_over_devices(floating, axis_name))
    return jax.tree.unflatten(
        structure, [next(means) if _is_floating(leaf) else leaf for leaf in leaves]
    )


def _reduced(reduce: Callable[[Any, AxisName], Any], tree: Tree, axis_name: AxisName) -> Tree:
    """Reduces every array of a pytree over the devices.

    On CPUs devices meet once for each array of a collective, and a network has a dozen: there,
    the small ones of one type travel as one.
    """
    if jax.default_backend() == "cpu" and num_devices_on(axis_name) > 1:
        joined = Joined.of(tree, num_axes=0, alone_from=LARGE)
        reduced = {name: reduce(array, axis_name) for name, array in joined.arrays.items()}
        return Joined(reduced, joined.layout).split()
    return reduce(tree, axis_name)


def floating_vectors(tree: Any) -> list[Array]:
    """Returns all floating-point numbers of a pytree, in as few vectors as `vectors`."""
    floating = [leaf for leaf in jax.tree.leaves(tree) if _is_floating(leaf) and leaf.size]
    return vectors(floating)


def vectors(leaves: list[Array]) -> list[Array]:
    """Returns all numbers of arrays, in as few vectors as joining makes of them."""
    return list(Joined.of(leaves, num_axes=0, alone_from=LARGE).arrays.values())


def num_devices_on(axis_name: AxisName) -> int:
    """Returns the number of devices on an axis, inside a per-device program."""
    return lax.psum(1, axis_name)  # of a number: known when traced


def _is_floating(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)
