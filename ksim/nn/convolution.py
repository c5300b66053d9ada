"""Convolutions over observed images, before another network."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from ksim.config.concerns import convolution_sizes
from ksim.config.value import value_text
from ksim.nn.network import Network, activation_function
from ksim.xla.convolution.images import convolve_images

Shape = tuple[int, ...]


class ConvolutionalTrunk(Network):
    """Layers of convolutions over images; the network behind them sees their output.

    Observations with three axes are images `[channels, rows, columns]`, all with as many rows and
    columns; they are put on top of each other. What is no image goes straight to the network
    behind. Borders are padded with zeros, so that a layer of stride 1 keeps rows and columns, and
    one of stride 2 halves them, rounded up.

    Convolutions are computed in float32 whatever the precision of matrix products.

    Attributes:
      behind: the network behind the trunk; the memory and the output are its own.
      input_shapes: shapes of the observations, flattened and joined in this order.
      channels: channels of each layer, > 0, at least one layer.
      kernels: rows and columns that each layer looks at, > 0: one number for each, or for all.
      strides: cells from one look to the next, > 0: one number for each, or for all.
      activation: name of the activation function.

    Raises:
      ValueError: if there is no image, images differ in size, or numbers and layers do not match.
    """

    behind: Network
    input_shapes: tuple[Shape, ...]
    channels: tuple[int, ...]
    kernels: tuple[int, ...] = (3,)
    strides: tuple[int, ...] = (1,)
    activation: str = "relu"

    def __post_init__(self) -> None:
        convolution_sizes(self.channels, self.kernels, self.strides)
        if not self.channels:
            raise ValueError("ConvolutionalTrunk(channels=()): write at least one layer.")
        _check_images(self.input_shapes, self.channels)
        activation_function(self.activation)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "num_inputs"], carry: PyTree
    ) -> tuple[Float[Array, "output_size"], PyTree]:
        """Returns the output of the network behind, and its memory for the next call."""
        images, others = self._divided(x)
        image = jnp.concatenate(images).transpose(1, 2, 0)  # XLA's CPU wants channels last
        layers = convolution_sizes(self.channels, self.kernels, self.strides)
        for i, (size, kernel, stride) in enumerate(layers):
            layer = nn.Conv(
                size,
                (kernel, kernel),
                (stride, stride),
                kernel_init=nn.initializers.orthogonal(math.sqrt(2)),
                conv_general_dilated=convolve_images,
                name=f"convolution_{i}",
            )
            image = activation_function(self.activation)(layer(image))
        return self.behind(jnp.concatenate([image.ravel(), *others]), carry)

    def initial_carry(self) -> PyTree:
        """Returns the memory of the network behind."""
        return self.behind.initial_carry()

    def _divided(self, x: Float[Array, "num_inputs"]) -> tuple[list[Array], list[Array]]:
        """Returns the images in x, and what else there is, flat."""
        images, others, first = [], [], 0
        for shape in self.input_shapes:
            part = x[first : first + math.prod(shape)]
            first += math.prod(shape)
            if len(shape) == 3:
                images.append(part.reshape(shape))
            else:
                others.append(part)
        return images, others


def _check_images(shapes: Sequence[Shape], channels: Sequence[int]) -> None:
    images = [shape for shape in shapes if len(shape) == 3]
    asked = f"conv_channels={value_text(tuple(channels))}"
    if not images:
        raise ValueError(
            f"{asked} needs an image, [channels, rows, columns], and the observations have the"
            f" shapes {value_text(tuple(shapes))}. Write conv_channels=[] for a network without"
            " convolutions, or observe three axes: x[None] makes [1, rows, columns] of"
            " [rows, columns]."
        )
    if len({shape[1:] for shape in images}) > 1:
        raise ValueError(
            f"{asked} puts images on top of each other, and these differ in rows or columns:"
            f" {value_text(images)}. Make them alike, or let actor_observations and"
            " critic_observations name those of one size."
        )
