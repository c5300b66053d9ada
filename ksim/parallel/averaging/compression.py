"""Averages over devices that send fewer bytes, and what they round away."""

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
"""Numbers that share a scale; all of one parameter, since parameters differ in size."""

WIRE_TYPES = {"float16": jnp.float16, "int8": jnp.int8}
LARGEST = {"float16": 1.0, "int8": 127.0}
SCALE_BYTES = 4


@dataclasses.dataclass(frozen=True)
class Compression:
    """Averages gradients over replicas in a smaller type, and remembers what that loses.

    Blocks of `BLOCK` numbers are scaled by their largest and rounded. Each device receives its
    part of everybody's numbers, averages it in float32, rounds the average and sends it to all:
    2 (N - 1) / N numbers per parameter and device, as an all-reduce over a ring. What rounding
    takes from a gradient is added to the next one (error feedback), so that nothing is lost but
    postponed.

    What is postponed belongs to a device. It lives within an iteration only: the last update of an
    iteration sends the remainder after the gradient, in the same type, and what little is then
    still left (1 / 127^2 of the largest number of a block, at most) is dropped. Between iterations
    there is one state, whatever the number of devices.

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
        """Whether anything is compressed."""
        return self.kind != "none"

    @property
    def bytes_per_number(self) -> float:
        """What a number takes on the wire, with its share of the scale."""
        if not self.is_on:
            return 4
        return jnp.dtype(WIRE_TYPES[self.kind]).itemsize + SCALE_BYTES / BLOCK

    def mean(
        self,
        gradients: Tree,
        errors: Tree,
        is_last: Bool[Array, ""] | bool,
        axis_name: AxisName,
    ) -> tuple[Tree, Tree]:
        """Averages gradients over replicas.

        Blocks never hold numbers of two leaves: what is rounded in one leaf does not depend on the
        others, of which the devices of a group may have different shards.

        Args:
          gradients: of this device.
          errors: what rounding has taken from its gradients so far, likewise.
          is_last: whether nothing may be postponed any more.
          axis_name: the axes over the replicas.

        Returns:
          The mean of gradients and errors over the replicas, the same on all of them, and the
          errors of this device.
        """
        if lax.psum(1, axis_name) == 1:  # a number: nothing is sent
            return gradients, errors
        leaves = jax.tree.leaves(jax.tree.map(jnp.add, gradients, errors))
        blocks = jnp.concatenate([_to_blocks(leaf) for leaf in leaves])
        mean, error = self._round_trip(blocks, axis_name)

        def send_the_rest(operand: tuple[Array, Array]) -> tuple[Array, Array]:
            mean, error = operand
            rest, _ = self._round_trip(error, axis_name)
            return mean + rest, jnp.zeros_like(error)

        mean, error = lax.cond(is_last, send_the_rest, lambda operand: operand, (mean, error))
        means = [
            mean.astype(gradient.dtype)
            for mean, gradient in zip(
                _from_blocks(mean, leaves), jax.tree.leaves(gradients), strict=True
            )
        ]
        structure = jax.tree.structure(gradients)
        remainders = _from_blocks(error, leaves)
        return jax.tree.unflatten(structure, means), jax.tree.unflatten(structure, remainders)

    def _round_trip(
        self, blocks: Float[Array, "n BLOCK"], axis_name: AxisName
    ) -> tuple[Float[Array, "n BLOCK"], Float[Array, "n BLOCK"]]:
        """Returns the mean over devices, and what this device's roundings have taken from it."""
        num_devices = lax.psum(1, axis_name)
        size = blocks.shape[0]
        blocks_each = math.ceil(size / num_devices)
        padded = jnp.pad(blocks, ((0, num_devices * blocks_each - size), (0, 0)))
        parts = padded.reshape(num_devices, blocks_each, BLOCK)  # one for each device

        wire, scales = self._encode(parts)
        errors = parts - self._decode(wire, scales)
        received = self._decode(
            lax.all_to_all(wire, axis_name, 0, 0, tiled=True),
            lax.all_to_all(scales, axis_name, 0, 0, tiled=True),
        )
        own_mean = jnp.mean(received, axis=0)
        wire, scales = self._encode(own_mean)
        # The mean divides by the number of devices, and this error enters one of them only.
        own_error = num_devices * (own_mean - self._decode(wire, scales))
        errors = errors.at[lax.axis_index(axis_name)].add(own_error)
        mean = self._decode(lax.all_gather(wire, axis_name), lax.all_gather(scales, axis_name))
        return mean.reshape(-1, BLOCK)[:size], errors.reshape(-1, BLOCK)[:size]

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
    """Returns how many blocks a parameter of so many numbers takes."""
    return math.ceil(size / BLOCK)


def _to_blocks(leaf: Array) -> Float[Array, "n BLOCK"]:
    blocks = num_blocks(leaf.size)
    padded = jnp.pad(leaf.ravel().astype(jnp.float32), (0, blocks * BLOCK - leaf.size))
    return padded.reshape(blocks, BLOCK)


def _from_blocks(blocks: Float[Array, "n BLOCK"], leaves: list[Array]) -> list[Array]:
    """Returns numbers in the shapes of `leaves`, of which they are the blocks in order."""
    ends = list(itertools.accumulate(num_blocks(leaf.size) for leaf in leaves))
    parts = jnp.split(blocks, ends[:-1])
    return [
        part.ravel()[: leaf.size].reshape(leaf.shape)
        for part, leaf in zip(parts, leaves, strict=True)
    ]
