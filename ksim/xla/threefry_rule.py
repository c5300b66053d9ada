"""Writes Threefry into a program as single operations, by JAX's private doors for such rules.

Written for jax 0.9.2 and 0.12.0; imported by `ksim.xla.threefry` alone, which does without where a
door is missing.
"""

import dataclasses
from collections.abc import Callable
from functools import partialmethod
from typing import Any

import numpy as np
from jax._src.interpreters import mlir
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.extend.random import threefry2x32_p

__all__ = ["rules_for_cpus", "threefry2x32", "threefry2x32_p", "written_without_loop"]

Words = Any
"""Unsigned integers of 32 bits that can be added, shifted and combined: an array, or what an array
will be in a program that is being written."""

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
NUM_BLOCKS = 5
PARITY = 0x1BD11BDA


def rules_for_cpus() -> dict[Any, Any]:
    """Returns JAX's table of lowering rules that hold for CPUs alone, by operation."""
    return mlir._platform_specific_lowerings["cpu"]


def threefry2x32(key_0: Words, key_1: Words, word_0: Words, word_1: Words) -> tuple[Words, Words]:
    """Returns the hash of two words, with 20 rounds.

    Args:
      key_0: the first word of the key.
      key_1: the second.
      word_0: the first word to hash.
      word_1: the second.

    Reference:
      Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", SC11; Threefry-2x32-20.
    """
    keys = (key_0, key_1, key_0 ^ key_1 ^ PARITY)
    word_0, word_1 = word_0 + key_0, word_1 + key_1
    for block in range(NUM_BLOCKS):
        for rotation in ROTATIONS[block % 2]:
            word_0 = word_0 + word_1
            word_1 = word_0 ^ _rotate_left(word_1, rotation)
        word_0 = word_0 + keys[(block + 1) % 3]
        word_1 = word_1 + keys[(block + 2) % 3] + (block + 1)
    return word_0, word_1


def _rotate_left(word: Words, num_bits: int) -> Words:
    return (word << num_bits) | (word >> (32 - num_bits))


@dataclasses.dataclass(frozen=True)
class _WrittenWords:
    """Words of a program that is being written; each operator writes an operation.

    Tracing the same operations for every shape drawn took an eighth of the time of tracing and
    lowering a run.
    """

    value: ir.Value

    def _write(
        self, operation: Callable[[ir.Value, ir.Value], ir.Value], other: "_WrittenWords | int"
    ) -> "_WrittenWords":
        if isinstance(other, int):
            kind = ir.RankedTensorType(self.value.type)
            number = ir.IntegerAttr.get(kind.element_type, other)
            constant = ir.DenseElementsAttr.get_splat(kind, number)
            return _WrittenWords(operation(self.value, stablehlo.constant(constant)))
        return _WrittenWords(operation(self.value, other.value))

    __add__ = partialmethod(_write, stablehlo.add)
    __xor__ = partialmethod(_write, stablehlo.xor)
    __or__ = partialmethod(_write, stablehlo.or_)
    __lshift__ = partialmethod(_write, stablehlo.shift_left)
    __rshift__ = partialmethod(_write, stablehlo.shift_right_logical)


def written_without_loop(context: Any, *operands: ir.Value) -> list[ir.Value]:
    """Writes the hash into a program; the operands are as those of `threefry2x32`."""
    del context
    shapes = [ir.RankedTensorType(operand.type).shape for operand in operands]
    shape = np.broadcast_shapes(*shapes)
    whole = ir.RankedTensorType.get(shape, ir.IntegerType.get_unsigned(32))
    words = []
    for operand, own in zip(operands, shapes, strict=True):
        axes = ir.DenseI64ArrayAttr.get(range(len(shape) - len(own), len(shape)))
        words.append(_WrittenWords(stablehlo.broadcast_in_dim(whole, operand, axes)))
    return [word.value for word in threefry2x32(*words)]
