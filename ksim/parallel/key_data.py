"""Moves arrays with typed keys between the devices and the host."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def is_key(leaf: Any) -> bool:
    """Returns whether a leaf is an array of typed PRNG keys."""
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def map_key_data(function: Callable[[Any], Any], leaf: Any) -> Any:
    """Applies `function` to a leaf, reaching through typed PRNG keys to the words they hold.

    NumPy has no typed keys: a move of arrays through the host works on the words, which have one
    trailing axis more than the keys.
    """
    if is_key(leaf):
        words = function(without_key(leaf))
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
    return function(leaf)


def without_key(leaf: Any) -> Any:
    """Returns the words of typed PRNG keys, and every other leaf as it is."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def to_host(leaf: Any) -> Any:
    """Returns a leaf as a NumPy array that no device buffer backs (typed keys stay typed)."""
    return map_key_data(lambda words: np.array(words), leaf)
