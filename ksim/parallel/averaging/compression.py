"""Averages over devices in fewer bytes, and keeps what rounding takes away."""

import dataclasses
import itertools
import math
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from ksim.config.concerns import COMPRESSIONS
from ksim.parallel.collectives import AxisName

Tree = TypeVar("Tree")

BLOCK = 128
"""Numbers that share a scale; all belong to one parameter, since parameters differ in size."""

WIRE_TYPES = {"float16": jnp.float16, "int8": jnp.int8}
LARGEST = {"float16": 1.0, "int8": 127.0}
SCALE_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Compression:
    """Averages gradients over replicas in a smaller type, with error feedback.

    Blocks of `BLOCK` numbers are scaled by their largest and rounded. Each device receives its
    part of everybody's numbers, averages it in float32, rounds the average and sends it to all:
    2 (N - 1) / N numbers per parameter and device, as an all-reduce over a ring. The residual,
    which rounding takes from a gradient, is added to the next gradient (error feedback): nothing is
    lost, only postponed.

    Residuals belong to a device, and live within an iteration only: the last update of an iteration
    sends the residual after the gradient, in the same type, and the remainder of that (1 / 127^2 of
    the largest number of a block, at most) is dropped. Between iterations there is one state,
    whatever the number of devices.

    Attributes:
      kind: one of `COMPRESSIONS`.

    Reference:
      Karimireddy et al. 2019, "Error feedback fixes SignSGD and other gradient compression
      schemes", arXiv:1901.09847; Tang et al. 2019, "DoubleSqueeze", arXiv:1905.05957, for both
      roundings.
    """

    kind: str = "none"

    def __post_init__(self) -> None:
        if self.kind not in COMPRESSIONS:
            raise ValueError(
                f"grad_compression must be one of {', '.join(COMPRESSIONS)}, not {self.kind}."
            )

    @property
    def is_on(self) -> bool:
        """True if gradients are compressed."""
        return self.kind != "none"

    @property
    def bytes_per_number(self) -> float:
        """Bytes of a number on the wire, with its share of the scale."""
        if not self.is_on:
            return 4
        return jnp.dtype(WIRE_TYPES[self.kind]).itemsize + SCALE_BYTES / BLOCK

    def mean(
        self,
        gradients: Tree,
        residuals: Tree,
        is_last: Bool[Array, ""] | bool,
        axis_name: AxisName,
    ) -> tuple[Tree, Tree]:
        """Averages gradients over replicas.

        Blocks never hold numbers of two leaves: the rounding of one leaf does not depend on the
        others, since the devices of a group may have different shards of those.

        Args:
          gradients: the gradients of this device.
          residuals: the residuals of this device, like the gradients.
          is_last: whether nothing may be postponed any more.
          axis_name: the axes over the replicas.

        Returns:
          The mean of gradients and residuals over the replicas, the same on all of them, and the
          new residuals of this device.
        """
        if lax.psum(1, axis_name) == 1:  # a number: nothing is sent
            return gradients, residuals
        leaves = jax.tree.leaves(jax.tree.map(jnp.add, gradients, residuals))
        blocks = jnp.concatenate([_to_blocks(leaf) for leaf in leaves])
        mean, residual = self._round_trip(blocks, axis_name)

        def send_the_rest(operand: tuple[Array, Array]) -> tuple[Array, Array]:
            mean, residual = operand
            rest, _ = self._round_trip(residual, axis_name)
            return mean + rest, jnp.zeros_like(residual)

        mean, residual = lax.cond(is_last, send_the_rest, lambda operand: operand, (mean, residual))
        means = [
            mean.astype(gradient.dtype)
            for mean, gradient in zip(
                _from_blocks(mean, leaves), jax.tree.leaves(gradients), strict=True
            )
        ]
        structure = jax.tree.structure(gradients)
        remainders = _from_blocks(residual, leaves)
        return jax.tree.unflatten(structure, means), jax.tree.unflatten(structure, remainders)

    def _round_trip(
        self, blocks: Float[Array, "n BLOCK"], axis_name: AxisName
    ) -> tuple[Float[Array, "n BLOCK"], Float[Array, "n BLOCK"]]:
        """Returns the mean over devices, and the residual of this device's roundings."""
        num_devices = lax.psum(1, axis_name)
        size = blocks.shape[0]
        blocks_each = math.ceil(size / num_devices)
        padded = jnp.pad(blocks, ((0, num_devices * blocks_each - size), (0, 0)))
        parts = padded.reshape(num_devices, blocks_each, BLOCK)  # one for each device

        wire, scales = self._encode(parts)
        residuals = parts - self._decode(wire, scales)
        received = self._decode(
            lax.all_to_all(wire, axis_name, 0, 0, tiled=True),
            lax.all_to_all(scales, axis_name, 0, 0, tiled=True),
        )
        own_mean = jnp.mean(received, axis=0)
        wire, scales = self._encode(own_mean)
        # The mean divides by the number of devices, and this residual enters one of them only.
        own_residual = num_devices * (own_mean - self._decode(wire, scales))
        residuals = residuals.at[lax.axis_index(axis_name)].add(own_residual)
        mean = self._decode(lax.all_gather(wire, axis_name), lax.all_gather(scales, axis_name))
        return mean.reshape(-1, BLOCK)[:size], residuals.reshape(-1, BLOCK)[:size]

    def _encode(self, blocks: Float[Array, "... BLOCK"]) -> tuple[Array, Float[Array, "... 1"]]:
        largest = jnp.max(jnp.abs(blocks), axis=-1, keepdims=True)
        # A block of zeros needs some scale; a NaN stays one.
        scales = jnp.where(largest == 0, 1, largest) / LARGEST[self.kind]
        scaled = blocks / jnp.broadcast_to(scales, blocks.shape)
        if self.kind == "int8":
            scaled = jnp.round(scaled)
        return scaled.astype(WIRE_TYPES[self.kind]), scales

    @staticmethod
    def _decode(wire: Array, scales: Float[Array, "... 1"]) -> Float[Array, "... BLOCK"]:
        return wire.astype(jnp.float32) * jnp.broadcast_to(scales, wire.shape)


def num_blocks(size: int) -> int:
    """Returns the number of blocks of a parameter with `size` numbers."""
    return math.ceil(size / BLOCK)


def _to_blocks(leaf: Array) -> Float[Array, "n BLOCK"]:
    blocks = num_blocks(leaf.size)
    padded = jnp.pad(leaf.ravel().astype(jnp.float32), (0, blocks * BLOCK - leaf.size))
    return padded.reshape(blocks, BLOCK)


def _from_blocks(blocks: Float[Array, "n BLOCK"], leaves: list[Array]) -> list[Array]:
    """Returns the numbers of blocks, in order, in the shapes of `leaves`."""
    ends = list(itertools.accumulate(num_blocks(leaf.size) for leaf in leaves))
    parts = jnp.split(blocks, ends[:-1])
    return [
        part.ravel()[: leaf.size].reshape(leaf.shape)
        for part, leaf in zip(parts, leaves, strict=True)
    ]
