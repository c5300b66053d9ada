"""Reaches through JAX's typed PRNG keys to the words that they hold.

NumPy knows no typed keys, so code that moves arrays through the host, or to disk, works on the
words. All of it is JAX's public interface, tried with jax 0.9.2 and 0.12.0.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def is_key(leaf: Any) -> bool:
    """Returns whether a leaf (an array or a `ShapeDtypeStruct`) holds typed PRNG keys."""
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def map_key_data(function: Callable[[Any], Any], leaf: Any) -> Any:
    """Applies `function` to a leaf, or to the words of typed keys, which have one more axis."""
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
