"""Counts the bytes that a device sends, by arithmetic alone."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ksim.parallel.averaging.compression import BLOCK, Compression, num_blocks
from ksim.parallel.parameter_shards import split_axis

BYTES_PER_NUMBER = 4


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Bytes that the devices of a run send to each other in an iteration.

    An average of n numbers over N devices sends 2 (N - 1) / N n of them, as over a ring; to gather
    or to reduce and scatter them, half of that. Gradients are counted, and all that is averaged or
    gathered with them, as float32 unless compressed; the few numbers of the metrics are not.

    Attributes:
      sizes: numbers in each parameter that every device has.
      num_updates: updates in an iteration; the last one synchronises.
      period: updates from one synchronisation to the next.
      mode: `local_sgd`, which averages parameters and optimizer state too if the period is above 1,
        or `accumulate`.
      compression: compression of gradients between replicas; `none`, `float16` or `int8`.
      num_optimizer_numbers: numbers in the optimizer state, over all devices of a group.
      fsdp_devices: devices that share one copy of the large parameters.
      split_sizes: numbers in each parameter that they share.
    """

    sizes: tuple[int, ...]
    num_updates: int
    period: int = 1
    mode: str = "local_sgd"
    compression: str = "none"
    num_optimizer_numbers: int = 0
    fsdp_devices: int = 1
    split_sizes: tuple[int, ...] = ()

    @property
    def num_synchronising(self) -> int:
        """Number of updates of an iteration after which all replicas agree."""
        return math.ceil(self.num_updates / self.period)

    @property
    def num_communicating(self) -> int:
        """Number of updates that send anything: with shared parameters, all of them."""
        return self.num_updates if self.fsdp_devices > 1 else self.num_synchronising

    def bytes_per_update(self, num_devices: int) -> float:
        """Returns the bytes that one device sends in an update, as a mean over an iteration.

        Args:
          num_devices: devices of the run.
        """
        num_replicas = num_devices // self.fsdp_devices
        num_parameters = sum(self.sizes) + sum(self.split_sizes)
        # What one device has.
        shards = [size // self.fsdp_devices for size in self.split_sizes]
        share = (sum(self.sizes) + sum(shards)) / num_parameters

        gradient_bytes = _average([*self.sizes, *shards], num_replicas, self.compression)
        per_iteration = self.num_synchronising * gradient_bytes
        if self.compression != "none":
            per_iteration += gradient_bytes  # the last update sends the remainder
        if self.mode == "local_sgd" and self.period > 1:
            averaged = share * (num_parameters + self.num_optimizer_numbers)
            ring_bytes = _ring(averaged, num_replicas) * BYTES_PER_NUMBER
            per_iteration += self.num_synchronising * ring_bytes

        # Within a group, on every update: split parameters are gathered, their gradients reduced
        # and scattered, which is an average in two halves; gradients of the others are averaged.
        within = _ring(num_parameters, self.fsdp_devices) * BYTES_PER_NUMBER
        return per_iteration / self.num_updates + within


def parameter_sizes(parameters: Any, specs: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the numbers in each parameter that every device has, and in each that is split.

    Args:
      parameters: pytree of arrays or `jax.ShapeDtypeStruct`, whole.
      specs: pytree of `PartitionSpec`, like the parameters.
    """
    whole: list[int] = []
    split: list[int] = []
    for leaf, spec in zip(jax.tree.leaves(parameters), jax.tree.leaves(specs), strict=True):
        sizes = whole if split_axis(spec) is None else split
        sizes.append(math.prod(leaf.shape))
    return tuple(whole), tuple(split)


def num_floats(tree: Any) -> int:
    """Returns the number of floating-point numbers in the arrays of a pytree."""
    return sum(
        math.prod(leaf.shape)
        for leaf in jax.tree.leaves(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    )


def _ring(numbers: float, num_devices: int) -> float:
    """Returns the numbers that a device sends to average `numbers` over a ring."""
    return 2 * (num_devices - 1) / num_devices * numbers


def _average(sizes: Sequence[int], num_devices: int, compression: str) -> float:
    """Returns the bytes that a device sends to average gradients."""
    if compression == "none":
        return _ring(sum(sizes), num_devices) * BYTES_PER_NUMBER
    blocks_each = math.ceil(sum(map(num_blocks, sizes)) / num_devices)
    numbers = num_devices * blocks_each * BLOCK
    return _ring(numbers, num_devices) * Compression(compression).bytes_per_number
