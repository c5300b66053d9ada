"""Multiplies rounded operands as a function with a gradient of its own, by `jax.custom_vjp`.

That is JAX's promised way, tried with jax 0.9.2 and 0.12.0, and slower than a primitive: of a batch
that comes from `jax.vmap` it makes an outer product for every sample before it adds them up. What
the primitive shares with it is here too.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

Axes = tuple[int, ...]
Product = Callable[[Array, Array, Axes, Axes], Array]
"""Multiplies a left and a right operand, contracting some axes of each."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def plain_product(lhs: Array, rhs: Array, lhs_contracted: Axes, rhs_contracted: Axes) -> Array:
    """Multiplies, as a function with a gradient of its own (`jax.jvp` cannot pass through it)."""
    return round_and_multiply(
        lhs, rhs, lhs_contracted=lhs_contracted, rhs_contracted=rhs_contracted
    )


def _product_and_operands(
    lhs: Array, rhs: Array, lhs_contracted: Axes, rhs_contracted: Axes
) -> tuple[Array, tuple[Array, Array]]:
    return plain_product(lhs, rhs, lhs_contracted, rhs_contracted), (lhs, rhs)


def _gradients(
    lhs_contracted: Axes, rhs_contracted: Axes, operands: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    axes = (lhs_contracted, rhs_contracted)
    lhs, rhs = operands
    return (
        gradient_of_lhs(plain_product, gradient, lhs.ndim, rhs, *axes),
        gradient_of_rhs(plain_product, gradient, lhs, rhs.ndim, *axes),
    )


plain_product.defvjp(_product_and_operands, _gradients)


def round_and_multiply(
    lhs: Array, rhs: Array, *, lhs_contracted: Axes, rhs_contracted: Axes, num_batch_axes: int = 0
) -> Array:
    """Multiplies rounded operands by `jax.lax.dot_general`; their first axes may be a batch."""
    batch_axes = tuple(range(num_batch_axes))
    return lax.dot_general(
        lhs.astype(jnp.bfloat16),
        rhs.astype(jnp.bfloat16),
        ((lhs_contracted, rhs_contracted), (batch_axes, batch_axes)),
        preferred_element_type=jnp.float32,
    )


def gradient_of_lhs(
    product: Product,
    gradient: Array,
    num_axes: int,
    rhs: Array,
    lhs_contracted: Axes,
    rhs_contracted: Axes,
) -> Array:
    """Returns the gradient of the left operand, which has `num_axes`.

    The result has the kept axes of `lhs`, then those of `rhs`. Contracting the gradient with the
    known operand over its kept axes gives the axes of the unknown operand: the kept ones in their
    order, and the contracted ones in the order of the known operand.
    """
    lhs_kept, rhs_kept = other_axes(num_axes, lhs_contracted), other_axes(rhs.ndim, rhs_contracted)
    found = product(gradient, rhs, tuple(range(len(lhs_kept), gradient.ndim)), rhs_kept)
    return _in_order(found, (*lhs_kept, *_sorted_by(lhs_contracted, rhs_contracted)))


def gradient_of_rhs(
    product: Product,
    gradient: Array,
    lhs: Array,
    num_axes: int,
    lhs_contracted: Axes,
    rhs_contracted: Axes,
) -> Array:
    """Returns the gradient of the right operand, which has `num_axes`; see `gradient_of_lhs`."""
    lhs_kept, rhs_kept = other_axes(lhs.ndim, lhs_contracted), other_axes(num_axes, rhs_contracted)
    found = product(lhs, gradient, lhs_kept, tuple(range(len(lhs_kept))))
    return _in_order(found, (*_sorted_by(rhs_contracted, lhs_contracted), *rhs_kept))


def other_axes(num_axes: int, axes: Axes) -> Axes:
    """Returns the axes that are not among `axes`."""
    return tuple(axis for axis in range(num_axes) if axis not in axes)


def _sorted_by(axes: Axes, partners: Axes) -> Axes:
    return tuple(axis for _, axis in sorted(zip(partners, axes, strict=True)))


def _in_order(x: Array, axes: Axes) -> Array:
    """Moves axis `i` of `x` to position `axes[i]`."""
    return lax.transpose(x, sorted(range(len(axes)), key=axes.__getitem__))
