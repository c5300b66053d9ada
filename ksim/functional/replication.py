"""Copies with a leading device axis, as `jax.pmap` takes them."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

Tree = TypeVar("Tree")


def get_num_devices(requested: int | None = None) -> int:
    """Returns the number of local devices to use.

    Args:
      requested: the number wanted; `None` takes all of them.

    Raises:
      ValueError: if there are fewer, or fewer than 1 are wanted.
    """
    available = jax.local_device_count()
    if requested is None:
        return available
    if not 1 <= requested <= available:
        raise ValueError(
            f"get_num_devices({requested}): there are {available} local device(s)."
            f" Write a number from 1 to {available}, or none for all of them."
        )
    return requested


def replicate(pytree: Tree, n_devices: int) -> Tree:
    """Returns `n_devices` copies of every array, `[...]` becoming `[n_devices, ...]`."""
    if n_devices < 1:
        raise ValueError(f"replicate(n_devices={n_devices}): at least 1 device is needed.")

    def repeat(leaf: Any) -> Array:
        leaf = jnp.asarray(leaf)
        return jnp.broadcast_to(leaf, (n_devices, *leaf.shape))

    return jax.tree.map(repeat, pytree)


def unreplicate(pytree: Tree) -> Tree:
    """Returns the first copy of every array, `[n_devices, ...]` becoming `[...]`."""
    return jax.tree.map(lambda leaf: leaf[0], pytree)


def split_key_across_devices(rng: Array, n_devices: int) -> Array:
    """Returns a key for each device; `[n_devices, 2]` for a raw key as `jax.random.PRNGKey` makes.

    ksim's own training does not use it: there random numbers belong to environments, so that the
    number of devices does not change the result.

    Args:
      rng: one key, raw or typed; it must not be used again.
      n_devices: the number of devices.
    """
    return jax.random.split(rng, n_devices)
