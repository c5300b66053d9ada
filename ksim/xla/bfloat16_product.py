"""Multiplies matrices of operands that are rounded to bfloat16.

Matrix units (Tensor Cores, TPUs, AMX in x86 cores) multiply bfloat16 several times as fast as
float32, and add the products up in float32. JAX and XLA do not let training reach them by casts
alone: the derivative of such a product multiplies a float32 gradient by a bfloat16 operand, and
XLA ignores `jax.lax.DotAlgorithmPreset.BF16_BF16_F32` on a CPU. So the product is an
operation of its own, whose derivatives are the same operation again, with all operands rounded.

JAX's interface for new operations is not promised (`ksim.xla.bfloat16_primitive`); the plain way is
the promised one (`ksim.xla.bfloat16_plain`), which gives the same numbers up to the order of sums.
Written for jax 0.9.2 and 0.12.0.
"""

import functools
from typing import Any

from jax import lax
from jaxtyping import Array, Float

from ksim.xla.bfloat16_plain import Product, plain_product
from ksim.xla.fallback import warn_of_plain_way


def rounded_dot_general(
    lhs: Float[Array, "..."],
    rhs: Float[Array, "..."],
    dimension_numbers: lax.DotDimensionNumbers,
    **_: Any,
) -> Float[Array, "..."]:
    """Multiplies as `jax.lax.dot_general` does, with operands rounded to bfloat16.

    `flax.linen.Dense` and its like take it as `dot_general`. Operands, result and gradients are
    float32; a gradient is rounded too before it is multiplied on.

    Args:
      lhs: the left operand, float32.
      rhs: the right operand, float32.
      dimension_numbers: the axes to contract, as `jax.lax.dot_general` takes them.

    Raises:
      ValueError: if it names batch axes; use `jax.vmap` instead.
    """
    (lhs_contracted, rhs_contracted), batch_axes = dimension_numbers
    if any(len(axes) for axes in batch_axes):
        raise ValueError(
            f"rounded_dot_general(batch axes {batch_axes}): write the product of one pair, and"
            " jax.vmap."
        )
    product = _chosen_product()
    return product(lhs, rhs, tuple(map(int, lhs_contracted)), tuple(map(int, rhs_contracted)))


@functools.cache
def _chosen_product() -> Product:
    """Returns the product as a primitive; the plain one, and warns, if JAX has changed."""
    try:
        from ksim.xla.bfloat16_primitive import multiply
    except (ImportError, AttributeError, TypeError) as error:
        warn_of_plain_way(
            f"a part of its interface for new operations ({error})",
            "products of bfloat16 are differentiated sample by sample, which is slower",
        )
        return plain_product
    return multiply
