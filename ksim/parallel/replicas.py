"""Compares devices that should hold the same bits: exactly, or by their distance."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, UInt32

from ksim.parallel.collectives import AxisName, floating_vectors, num_devices_on, vectors
from ksim.xla.key_data import without_key


def replica_drift(tree: Any, axis_name: AxisName, specs: Any = None) -> Float[Array, ""]:
    """Returns the largest difference between two replicas of any one number of a pytree.

    Exactly zero if the replicas agree. Everything travels twice: meant for replicas that should
    agree and do not. `largest_deviation` is enough for replicas that are averaged anyway.

    Args:
      tree: one device's part of a state.
      axis_name: the axes over all devices.
      specs: as for `are_replicas_identical`.
    """
    axes = _axes(axis_name)
    drift = jnp.float32(0)
    for replicas, leaves in _by_replicas(tree, specs, axes).items():
        drift = jnp.maximum(drift, _drift_over(leaves, replicas))
        if len(replicas) < len(axes):
            drift = lax.pmax(drift, axes)
    return drift


def largest_deviation(tree: Any, mean: Any) -> Float[Array, ""]:
    """Returns the largest difference between a number of a pytree and its value in `mean`.

    Nothing travels. A mean of equal numbers is rounded, and may differ from them by the rounding.

    Args:
      tree: the numbers of this device.
      mean: their mean over the devices, as by `average_replicas`.
    """
    deviations = [
        jnp.max(jnp.abs(own - averaged)).astype(jnp.float32)
        for own, averaged in zip(floating_vectors(tree), floating_vectors(mean), strict=True)
    ]
    return jnp.max(jnp.stack(deviations)) if deviations else jnp.float32(0)


def replica_fingerprint(tree: Any) -> UInt32[Array, ""]:
    """Returns 32 bits that depend on every bit of a pytree and on where it stands.

    Each word is scrambled together with its position before they are summed. One changed word
    always changes the sum; several (two exchanged ones, say) leave it unchanged with one chance in
    2^32. Replicas that are bit-identical always agree.
    """
    fingerprint = jnp.uint32(1)
    for numbers in vectors([without_key(leaf) for leaf in jax.tree.leaves(tree)]):
        words = _words(numbers)
        places = lax.iota(jnp.uint32, words.size) * jnp.uint32(0x9E3779B9)
        total = jnp.sum(_scramble(words ^ places), dtype=jnp.uint32)
        fingerprint = _scramble(fingerprint) + total
    return fingerprint


def are_replicas_identical(tree: Any, axis_name: AxisName, specs: Any = None) -> Bool[Array, ""]:
    """Returns whether all devices that should hold the same bits do; compares fingerprints.

    Args:
      tree: one device's part of a state.
      axis_name: the axes over all devices.
      specs: pytree of `PartitionSpec`, like `tree`; a leaf is compared over the axes that do not
        split it. `None` if nothing is split.
    """
    axes = _axes(axis_name)
    is_identical = jnp.bool_(True)
    for replicas, leaves in _by_replicas(tree, specs, axes).items():
        is_same = _is_identical_over(leaves, replicas)
        if len(replicas) < len(axes):
            is_same = lax.pmin(is_same.astype(jnp.int32), axes) == 1
        is_identical &= is_same
    return is_identical


def _drift_over(leaves: list[Array], axes: tuple[str, ...]) -> Float[Array, ""]:
    if num_devices_on(axes) == 1:
        return jnp.float32(0)
    spreads = [
        jnp.max(lax.pmax(numbers, axes) - lax.pmin(numbers, axes)).astype(jnp.float32)
        for numbers in floating_vectors(leaves)
    ]
    return jnp.max(jnp.stack(spreads)) if spreads else jnp.float32(0)


def _is_identical_over(leaves: list[Array], axes: tuple[str, ...]) -> Bool[Array, ""]:
    if num_devices_on(axes) == 1:
        return jnp.bool_(True)
    fingerprint = replica_fingerprint(leaves)
    # The least is the complement of the greatest complement: one message gives both.
    greatest, complement = lax.pmax(jnp.stack([fingerprint, ~fingerprint]), axes)
    return greatest == ~complement


def _axes(axis_name: AxisName) -> tuple[str, ...]:
    return (axis_name,) if isinstance(axis_name, str) else axis_name


def _by_replicas(
    tree: Any, specs: Any, axes: tuple[str, ...]
) -> dict[tuple[str, ...], list[Array]]:
    """Returns the leaves that have replicas, by the axes over which these lie."""
    leaves = jax.tree.leaves(tree)
    leaf_specs = [PartitionSpec()] * len(leaves) if specs is None else jax.tree.leaves(specs)
    by_replicas: dict[tuple[str, ...], list[Array]] = {}
    for spec, leaf in zip(leaf_specs, leaves, strict=True):
        used = {name for part in spec for name in (part if isinstance(part, tuple) else (part,))}
        replicas = tuple(name for name in axes if name not in used)
        if replicas:
            by_replicas.setdefault(replicas, []).append(leaf)
    return by_replicas


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
