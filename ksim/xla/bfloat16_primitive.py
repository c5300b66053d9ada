"""Makes the product of rounded operands a primitive of JAX, by its unpromised interface for those.

`jax.vmap` sees a primitive first: a batch becomes one larger product, which is then differentiated.
Written for jax 0.9.2 and 0.12.0; imported by `ksim.xla.bfloat16_product` alone,
which does without where a door is missing.
"""

from typing import Any

import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from ksim.xla.bfloat16_plain import (
    Axes,
    gradient_of_lhs,
    gradient_of_rhs,
    other_axes,
    round_and_multiply,
)


def multiply(lhs: Array, rhs: Array, lhs_contracted: Axes, rhs_contracted: Axes) -> Array:
    """Multiplies, as the primitive."""
    product: Array = _product.bind(
        lhs, rhs, lhs_contracted=lhs_contracted, rhs_contracted=rhs_contracted
    )
    return product


def _shape(lhs: Any, rhs: Any, *, lhs_contracted: Axes, rhs_contracted: Axes) -> Any:
    kept = [lhs.shape[axis] for axis in other_axes(lhs.ndim, lhs_contracted)]
    kept += [rhs.shape[axis] for axis in other_axes(rhs.ndim, rhs_contracted)]
    return lhs.update(shape=tuple(kept))


def _derivative(primals: Any, tangents: Any, **axes: Axes) -> tuple[Array, Array]:
    """Returns the product and its derivative; the product is linear in each operand."""
    (lhs, rhs), (lhs_tangent, rhs_tangent) = primals, tangents
    changes = []
    if not isinstance(lhs_tangent, ad.Zero):
        changes.append(multiply(lhs_tangent, rhs, **axes))
    if not isinstance(rhs_tangent, ad.Zero):
        changes.append(multiply(lhs, rhs_tangent, **axes))
    return multiply(lhs, rhs, **axes), sum(changes[1:], start=changes[0])


def _transpose(
    gradient: Any, lhs: Any, rhs: Any, *, lhs_contracted: Axes, rhs_contracted: Axes
) -> tuple[Array | ad.Zero | None, Array | ad.Zero | None]:
    """Returns the gradient of the operand that is not known, and `None` for the other."""
    is_of_lhs = ad.is_undefined_primal(lhs)
    axes = (lhs_contracted, rhs_contracted)
    if isinstance(gradient, ad.Zero):
        zero = ad.Zero((lhs if is_of_lhs else rhs).aval)
        return (zero, None) if is_of_lhs else (None, zero)
    if is_of_lhs:
        return gradient_of_lhs(multiply, gradient, lhs.aval.ndim, rhs, *axes), None
    return None, gradient_of_rhs(multiply, gradient, lhs, rhs.aval.ndim, *axes)


def _vectorize(
    operands: Any, batch_axes: Any, *, lhs_contracted: Axes, rhs_contracted: Axes
) -> tuple[Array, int]:
    """Multiplies a batch: that of one operand as one more kept axis, in one larger product.

    Products of pairs are left to `jax.lax.dot_general`.
    """
    lhs, rhs = (
        x if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(operands, batch_axes, strict=True)
    )
    if batch_axes[0] is not None:
        lhs_contracted = tuple(axis + 1 for axis in lhs_contracted)
    if batch_axes[1] is not None:
        rhs_contracted = tuple(axis + 1 for axis in rhs_contracted)
    if None in batch_axes:
        axis = 0 if batch_axes[1] is None else lhs.ndim - len(lhs_contracted)
        return multiply(lhs, rhs, lhs_contracted, rhs_contracted), axis
    product = round_and_multiply(
        lhs, rhs, lhs_contracted=lhs_contracted, rhs_contracted=rhs_contracted, num_batch_axes=1
    )
    return product, 0


_product = Primitive("rounded_dot_general")
_product.def_impl(round_and_multiply)
_product.def_abstract_eval(_shape)
mlir.register_lowering(_product, mlir.lower_fun(round_and_multiply, multiple_results=False))
ad.primitive_jvps[_product] = _derivative
ad.primitive_transposes[_product] = _transpose
batching.primitive_batchers[_product] = _vectorize
