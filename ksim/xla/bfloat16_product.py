"""Matrix products of operands that are rounded to bfloat16, as a JAX primitive.

Matrix units (Tensor Cores, TPUs, AMX in x86 cores) multiply bfloat16 several times as fast as
float32, and add the products up in float32. The casts alone do not reach them in training: the
derivative of such a product multiplies a float32 gradient by a bfloat16 operand, and
`jax.lax.DotAlgorithmPreset.BF16_BF16_F32` is not heard by XLA on a CPU. So the product is a
primitive: its derivatives are the same primitive again, with all operands rounded.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

Axes = tuple[int, ...]


def rounded_dot_general(
    lhs: Float[Array, "..."],
    rhs: Float[Array, "..."],
    dimension_numbers: lax.DotDimensionNumbers,
    **_: Any,
) -> Float[Array, "..."]:
    """Multiplies as `jax.lax.dot_general` does, with operands rounded to bfloat16.

    What `flax.linen.Dense` and its like take as `dot_general`. Operands, result and gradients are
    float32; a gradient is rounded too before it is multiplied on.

    Args:
      lhs: the left operand, float32.
      rhs: the right operand, float32.
      dimension_numbers: the axes to contract, as `jax.lax.dot_general` takes them.

    Raises:
      ValueError: if it names batch axes, for which there is `jax.vmap`.
    """
    (lhs_contracted, rhs_contracted), batch_axes = dimension_numbers
    if any(len(axes) for axes in batch_axes):
        raise ValueError(
            f"rounded_dot_general(batch axes {batch_axes}): write the product of one pair, and"
            " jax.vmap."
        )
    return _multiply(lhs, rhs, tuple(map(int, lhs_contracted)), tuple(map(int, rhs_contracted)))


def _multiply(lhs: Array, rhs: Array, lhs_contracted: Axes, rhs_contracted: Axes) -> Array:
    product: Array = _product.bind(
        lhs, rhs, lhs_contracted=lhs_contracted, rhs_contracted=rhs_contracted
    )
    return product


def _round_and_multiply(
    lhs: Array, rhs: Array, *, lhs_contracted: Axes, rhs_contracted: Axes, num_batch_axes: int = 0
) -> Array:
    batch_axes = tuple(range(num_batch_axes))
    return lax.dot_general(
        lhs.astype(jnp.bfloat16),
        rhs.astype(jnp.bfloat16),
        ((lhs_contracted, rhs_contracted), (batch_axes, batch_axes)),
        preferred_element_type=jnp.float32,
    )


def _shape(lhs: Any, rhs: Any, *, lhs_contracted: Axes, rhs_contracted: Axes) -> Any:
    kept = [lhs.shape[axis] for axis in _others(lhs.ndim, lhs_contracted)]
    kept += [rhs.shape[axis] for axis in _others(rhs.ndim, rhs_contracted)]
    return lhs.update(shape=tuple(kept))


def _others(num_axes: int, axes: Axes) -> Axes:
    return tuple(axis for axis in range(num_axes) if axis not in axes)


def _derivative(primals: Any, tangents: Any, **axes: Axes) -> tuple[Array, Array]:
    """The product is linear in each operand."""
    (lhs, rhs), (lhs_tangent, rhs_tangent) = primals, tangents
    changes = []
    if not isinstance(lhs_tangent, ad.Zero):
        changes.append(_multiply(lhs_tangent, rhs, **axes))
    if not isinstance(rhs_tangent, ad.Zero):
        changes.append(_multiply(lhs, rhs_tangent, **axes))
    return _multiply(lhs, rhs, **axes), sum(changes[1:], start=changes[0])


def _transpose(
    gradient: Any, lhs: Any, rhs: Any, *, lhs_contracted: Axes, rhs_contracted: Axes
) -> tuple[Array | ad.Zero | None, Array | ad.Zero | None]:
    """Returns the gradient of the operand that is not known, and `None` for the other.

    The result's axes are those that were kept of `lhs`, then those of `rhs`. Contracting the
    gradient with the known operand over what that one kept gives the unknown operand's axes: the
    kept ones in their order, and the contracted ones in the order of the known operand.
    """
    if isinstance(gradient, ad.Zero):
        unknown = lhs if ad.is_undefined_primal(lhs) else rhs
        zero = ad.Zero(unknown.aval)
        return (zero, None) if unknown is lhs else (None, zero)
    if ad.is_undefined_primal(lhs):
        lhs_kept, rhs_kept = (
            _others(lhs.aval.ndim, lhs_contracted),
            _others(rhs.ndim, rhs_contracted),
        )
        product = _multiply(gradient, rhs, tuple(range(len(lhs_kept), gradient.ndim)), rhs_kept)
        return _in_order(product, (*lhs_kept, *_sorted_by(lhs_contracted, rhs_contracted))), None
    lhs_kept, rhs_kept = _others(lhs.ndim, lhs_contracted), _others(rhs.aval.ndim, rhs_contracted)
    product = _multiply(lhs, gradient, lhs_kept, tuple(range(len(lhs_kept))))
    return None, _in_order(product, (*_sorted_by(rhs_contracted, lhs_contracted), *rhs_kept))


def _sorted_by(axes: Axes, partners: Axes) -> Axes:
    return tuple(axis for _, axis in sorted(zip(partners, axes, strict=True)))


def _in_order(x: Array, axes: Axes) -> Array:
    """Puts axis `i` of `x` where `axes[i]` says."""
    return lax.transpose(x, sorted(range(len(axes)), key=axes.__getitem__))


def _vectorize(
    operands: Any, batch_axes: Any, *, lhs_contracted: Axes, rhs_contracted: Axes
) -> tuple[Array, int]:
    """A batch of one operand is one more axis that is kept: a larger product, not many.

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
        return _multiply(lhs, rhs, lhs_contracted, rhs_contracted), axis
    product = _round_and_multiply(
        lhs, rhs, lhs_contracted=lhs_contracted, rhs_contracted=rhs_contracted, num_batch_axes=1
    )
    return product, 0


_product = Primitive("rounded_dot_general")
_product.def_impl(_round_and_multiply)
_product.def_abstract_eval(_shape)
mlir.register_lowering(_product, mlir.lower_fun(_round_and_multiply, multiple_results=False))
ad.primitive_jvps[_product] = _derivative
ad.primitive_transposes[_product] = _transpose
batching.primitive_batchers[_product] = _vectorize
