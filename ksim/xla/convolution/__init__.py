"""Convolutions of images, with gradients that XLA is fast at; see `ksim.xla.convolution.images`."""
