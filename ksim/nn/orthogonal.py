"""Orthogonal initial weights."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key, UInt32


def orthogonal(scale: float = 1.0) -> Callable[..., Float[Array, "rows columns"]]:
    """Returns a Linen initializer: `scale` times a uniformly random orthonormal matrix.

    NumPy draws it on the host: the same weights on every kind of device, and no program to
    compile for each shape of matrix, which takes seconds for one that runs once.

    Args:
      scale: of the singular values, which are all alike.

    Reference:
      Saxe, McClelland and Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in
      deep linear neural networks", arXiv:1312.6120. Mezzadri 2007, "How to generate random
      matrices from the classical compact groups", arXiv:math-ph/0609050, for the signs.
    """

    def initialize(
        key: Key[Array, ""], shape: tuple[int, int], dtype: DTypeLike = jnp.float32
    ) -> Float[Array, "rows columns"]:
        def draw(words: UInt32[Array, "words"]) -> np.ndarray:
            generator = np.random.default_rng(np.asarray(words))
            q, r = np.linalg.qr(generator.standard_normal((max(shape), min(shape))))
            q *= np.sign(np.diagonal(r))
            return (scale * (q if shape[0] >= shape[1] else q.T)).astype(dtype)

        result = jax.ShapeDtypeStruct(shape, dtype)
        return jax.pure_callback(draw, result, jax.random.key_data(key), vmap_method="sequential")

    return initialize
