"""The convolution of images as JAX has it, and its gradients in the order that XLA is fast at."""

from jax import lax
from jaxtyping import Array

ORDER = ("NHWC", "HWIO", "NHWC")
Padding = tuple[tuple[int, int], ...]


def plain_convolution(
    images: Array, kernel: Array, strides: tuple[int, ...], padding: Padding
) -> Array:
    """Convolves by JAX's own operation."""
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=ORDER)


def gradient_of_images(
    gradient: Array,
    kernel: Array,
    size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
) -> Array:
    """Returns the gradient of images of `size` rows and columns.

    The gradient, spread by the strides, is convolved with the kernel turned round.
    """
    pads = []
    for length, out, width, stride, (before, _) in zip(
        size, gradient.shape[1:3], kernel.shape[:2], strides, padding, strict=True
    ):
        spread = (out - 1) * stride + 1
        # Padded from both sides, it is as long as an image and a kernel less one.
        pads.append((width - 1 - before, length - spread + before))
    return lax.conv_general_dilated(
        gradient,
        lax.rev(kernel, (0, 1)).swapaxes(2, 3),
        (1, 1),
        pads,
        lhs_dilation=strides,
        dimension_numbers=ORDER,
    )


def gradient_of_kernel(
    gradient: Array,
    images: Array,
    size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
) -> Array:
    """Returns the gradient of a kernel of `size`.

    The images are convolved with the gradient, spread by the strides: their channels are the
    batch, and what was the batch is summed up.
    """
    pads = []
    for length, out, width, stride, (before, _) in zip(
        images.shape[1:3], gradient.shape[1:3], size, strides, padding, strict=True
    ):
        spread = (out - 1) * stride + 1
        pads.append((before, width - 1 + spread - length - before))
    found = lax.conv_general_dilated(
        images.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        pads,
        rhs_dilation=strides,
        dimension_numbers=ORDER,
    )
    return found.transpose(1, 2, 0, 3)
