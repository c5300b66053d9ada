"""Makes the convolution of images a primitive of JAX, by its unpromised interface for those.

`jax.vmap` sees a primitive first: a batch of batches becomes one batch, which is then
differentiated. Written for jax 0.9.2 and 0.12.0; imported by `ksim.xla.convolution.images` alone,
which does without where a door is missing.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from ksim.xla.convolution.gradients import (
    Padding,
    gradient_of_images,
    gradient_of_kernel,
    plain_convolution,
)

Strides = tuple[int, ...]


def convolve(images: Array, kernel: Array, strides: Strides, padding: Padding) -> Array:
    """Convolves, as the primitive."""
    result: Array = _convolution.bind(images, kernel, strides=strides, padding=padding)
    return result


def _shape(images: Any, kernel: Any, *, strides: Strides, padding: Padding) -> Any:
    out = [
        (length + sum(pads) - width) // stride + 1
        for length, width, stride, pads in zip(
            images.shape[1:3], kernel.shape[:2], strides, padding, strict=True
        )
    ]
    return images.update(shape=(images.shape[0], *out, kernel.shape[3]))


def _of_images(gradient: Any, images: Any, kernel: Any, **how: Any) -> Any:
    return gradient_of_images(gradient, kernel, images.aval.shape[1:3], **how)


def _of_kernel(gradient: Any, images: Any, kernel: Any, **how: Any) -> Any:
    return gradient_of_kernel(gradient, images, kernel.aval.shape[:2], **how)


def _vectorize(
    operands: Any, batch_axes: Any, *, strides: Strides, padding: Padding
) -> tuple[Array, int]:
    """Convolves a batch of batches as one; of many kernels, each with its own images, apart."""
    (images, kernel), (images_axis, kernel_axis) = operands, batch_axes
    if kernel_axis is not None:

        def convolve_one(images: Array, kernel: Array) -> Array:
            return plain_convolution(images, kernel, strides, padding)

        return jax.vmap(convolve_one, (images_axis, kernel_axis))(images, kernel), 0
    images = jnp.moveaxis(images, images_axis, 0)
    joined = images.reshape(-1, *images.shape[2:])
    result = convolve(joined, kernel, strides, padding)
    return result.reshape(*images.shape[:2], *result.shape[1:]), 0


_convolution = Primitive("convolve_images")
_convolution.def_impl(plain_convolution)
_convolution.def_abstract_eval(_shape)
mlir.register_lowering(_convolution, mlir.lower_fun(plain_convolution, multiple_results=False))
ad.defbilinear(_convolution, _of_images, _of_kernel)
batching.primitive_batchers[_convolution] = _vectorize
