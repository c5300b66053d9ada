"""Explicit reductions over devices, for use inside a per-device program."""

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, UInt32

from ksim.parallel.host import without_key

Tree = TypeVar("Tree")

AxisName = str | tuple[str, ...]
"""The device axis, or all axes of a grid of devices: collectives take either."""

LARGE = 2**20
"""Numbers from which an array is dealt with alone.

Smaller ones of one type are joined where nothing is lost by it: a network has dozens of arrays, the
state of its optimizer more, and what XLA makes of an array takes it time, however small that is.
"""


def mean_over_devices(tree: Tree, axis_name: AxisName) -> Tree:
    """Averages every array of a pytree over the devices."""
    return _reduced(lax.pmean, tree, axis_name)


def sum_over_devices(tree: Tree, axis_name: AxisName) -> Tree:
    """Sums every array of a pytree over the devices."""
    return _reduced(lax.psum, tree, axis_name)


def average_replicas(tree: Tree, axis_name: AxisName) -> Tree:
    """Makes drifted replicas identical: floating-point leaves become their mean.

    Integers (an optimizer's step count) advance alike on every device and stay as they are.
    """
    leaves, structure = jax.tree.flatten(tree)
    floating = [leaf for leaf in leaves if _is_floating(leaf)]
    means = iter(mean_over_devices(floating, axis_name))
    return jax.tree.unflatten(
        structure, [next(means) if _is_floating(leaf) else leaf for leaf in leaves]
    )


def replica_drift(tree: Any, axis_name: AxisName) -> Float[Array, ""]:
    """Returns the largest difference between two replicas of any one number of a pytree.

    Exactly zero if the replicas agree. Everything travels twice: for replicas that should agree and
    do not. `largest_deviation` does for those that are averaged anyway.
    """
    if _num_devices(axis_name) == 1:
        return jnp.float32(0)
    spreads = [
        jnp.max(lax.pmax(numbers, axis_name) - lax.pmin(numbers, axis_name)).astype(jnp.float32)
        for numbers in _floating_vectors(tree)
    ]
    return jnp.max(jnp.stack(spreads)) if spreads else jnp.float32(0)


def largest_deviation(tree: Any, mean: Any) -> Float[Array, ""]:
    """Returns the largest difference between a number of a pytree and what it is in `mean`.

    Nothing travels. A mean of equal numbers is rounded and may differ from them by that.

    Args:
      tree: what this device has.
      mean: the same averaged over the devices, as by `average_replicas`.
    """
    deviations = [
        jnp.max(jnp.abs(own - averaged)).astype(jnp.float32)
        for own, averaged in zip(_floating_vectors(tree), _floating_vectors(mean), strict=True)
    ]
    return jnp.max(jnp.stack(deviations)) if deviations else jnp.float32(0)


def replica_fingerprint(tree: Any) -> UInt32[Array, ""]:
    """Returns 32 bits that depend on every bit of a pytree and on where it stands.

    Each word is scrambled together with its position before they are summed. One changed word
    always changes the sum, several (two exchanged ones, say) but for one chance in 2^32; replicas
    that are bit-identical always agree.
    """
    fingerprint = jnp.uint32(1)
    for numbers in _vectors([without_key(leaf) for leaf in jax.tree.leaves(tree)]):
        words = _words(numbers)
        places = lax.iota(jnp.uint32, words.size) * jnp.uint32(0x9E3779B9)
        total = jnp.sum(_scramble(words ^ places), dtype=jnp.uint32)
        fingerprint = _scramble(fingerprint) + total
    return fingerprint


def are_replicas_identical(tree: Any, axis_name: AxisName) -> Bool[Array, ""]:
    """Returns whether all devices hold the same bits (compared by fingerprint)."""
    if _num_devices(axis_name) == 1:
        return jnp.bool_(True)
    fingerprint = replica_fingerprint(tree)
    # The least is the complement of the greatest complement: one message tells both.
    greatest, complement = lax.pmax(jnp.stack([fingerprint, ~fingerprint]), axis_name)
    return greatest == ~complement


def _reduced(reduce: Callable[[Any, AxisName], Any], tree: Tree, axis_name: AxisName) -> Tree:
    """Reduces every array of a pytree over the devices.

    On CPUs devices meet anew for each array of a collective, and a network has a dozen: there,
    all of one type travel as one.
    """
    if jax.default_backend() == "cpu" and _num_devices(axis_name) > 1:
        return _joined(lambda x: reduce(x, axis_name), tree)
    return reduce(tree, axis_name)


def _joined(function: Callable[[Array], Array], tree: Tree) -> Tree:
    """Applies an elementwise function to all arrays, to small ones of one type at once."""
    leaves, structure = jax.tree.flatten(tree)
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    results = list(leaves)
    for places in _groups(leaves):
        ends = list(itertools.accumulate(leaves[place].size for place in places))
        parts = jnp.split(function(_vector(leaves, places)), ends[:-1])
        for place, part in zip(places, parts, strict=True):
            results[place] = part.reshape(leaves[place].shape)
    return jax.tree.unflatten(structure, results)


def _floating_vectors(tree: Any) -> list[Array]:
    floating = [leaf for leaf in jax.tree.leaves(tree) if _is_floating(leaf) and leaf.size]
    return _vectors(floating)


def _vectors(leaves: list[Array]) -> list[Array]:
    """Returns all numbers of arrays, in as few vectors as there are groups."""
    return [_vector(leaves, places) for places in _groups(leaves)]


def _vector(leaves: list[Array], places: list[int]) -> Array:
    return jnp.concatenate([leaves[place].ravel() for place in places])


def _groups(leaves: list[Array]) -> list[list[int]]:
    """Returns the places of arrays that are dealt with together."""
    groups: dict[tuple[str, int | None], list[int]] = {}
    for place, leaf in enumerate(leaves):
        alone = place if leaf.size >= LARGE else None
        groups.setdefault((str(leaf.dtype), alone), []).append(place)
    return list(groups.values())


def _num_devices(axis_name: AxisName) -> int:
    return lax.psum(1, axis_name)  # of a number: known when traced


def _is_floating(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def _scramble(words: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Maps words one to one to words that look random."""
    words = (words ^ (words >> 16)) * jnp.uint32(0x7FEB352D)
    words = (words ^ (words >> 15)) * jnp.uint32(0x846CA68B)
    return words ^ (words >> 16)


def _words(leaf: Array) -> UInt32[Array, "m"]:
    """Returns the bits of a vector as unsigned 32-bit words."""
    if leaf.dtype == jnp.bool_:
        return leaf.astype(jnp.uint32)
    unsigned = jnp.dtype(f"uint{8 * leaf.dtype.itemsize}")
    bits = lax.bitcast_convert_type(leaf, unsigned)
    if leaf.dtype.itemsize == 8:
        low = bits & jnp.uint64(0xFFFFFFFF)
        return jnp.concatenate([low, bits >> jnp.uint64(32)]).astype(jnp.uint32)
    return bits.astype(jnp.uint32)
