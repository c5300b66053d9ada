"""Convolves images so that XLA's CPU is fast at the gradients too, wherever they stand.

XLA hands convolutions to Eigen if batch and channels lie in one certain order, and computes others
in plain loops. It brings the axes of gradients into that order by itself in the outermost
computation of a program only: inside a loop, such as that over the minibatches of an update,
gradients take many times as long (jax 0.9.2). So the convolution is an operation of its own, whose
derivatives are written in that order.

JAX's interface for new operations is not promised (`ksim.xla.convolution.primitive`). Written for
jax 0.9.2 and 0.12.0.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jax import lax
from jaxtyping import Array, Float

from ksim.xla.convolution.gradients import Padding, plain_convolution
from ksim.xla.fallback import warn_of_plain_way

Convolution = Callable[[Array, Array, tuple[int, ...], Padding], Array]
"""Convolves `[batch, rows, columns, channels]` with a kernel, by strides, with padding."""


def convolve_images(
    images: Float[Array, "batch rows columns channels"],
    kernel: Float[Array, "height width channels features"],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    lhs_dilation: Sequence[int] = (1, 1),
    rhs_dilation: Sequence[int] = (1, 1),
    feature_group_count: int = 1,
    **_: Any,
) -> Float[Array, "batch out_rows out_columns features"]:
    """Convolves as `jax.lax.conv_general_dilated` does in the order NHWC, HWIO, NHWC.

    `flax.linen.Conv` takes it as `conv_general_dilated`.

    Args:
      images: the images.
      kernel: the kernel.
      window_strides: from one place of the kernel to the next, rows and columns.
      padding: `SAME`, `VALID`, or what goes before and behind rows and columns.
      lhs_dilation: spread of the images; none can be.
      rhs_dilation: spread of the kernel; none can be.
      feature_group_count: groups of channels; one only.

    Raises:
      NotImplementedError: if images or kernel are to be spread, or channels are in groups.
    """
    if {*lhs_dilation, *rhs_dilation, feature_group_count} != {1}:
        raise NotImplementedError(
            f"convolve_images(lhs_dilation={lhs_dilation}, rhs_dilation={rhs_dilation},"
            f" feature_group_count={feature_group_count}): its gradients are written for 1 alone."
            " Write jax.lax.conv_general_dilated for others."
        )
    strides = tuple(window_strides)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(images.shape[1:3], kernel.shape[:2], strides, padding)
    pads = tuple((int(before), int(behind)) for before, behind in padding)
    return _chosen_convolution()(images, kernel, strides, pads)


@functools.cache
def _chosen_convolution() -> Convolution:
    """Returns the convolution as a primitive; JAX's own, and warns, if JAX has changed."""
    try:
        from ksim.xla.convolution.primitive import convolve
    except (ImportError, AttributeError, TypeError) as error:
        warn_of_plain_way(
            f"a part of its interface for new operations ({error})",
            "convolutions are differentiated by JAX, which takes many times as long on a CPU",
        )
        return plain_convolution
    return convolve
