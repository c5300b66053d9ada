"""JAX's random numbers on a CPU, the same ones, computed without loops."""

import jax.numpy as jnp
from jax.extend.random import threefry2x32_p
from jax.interpreters import mlir
from jaxtyping import Array, UInt32

Words = UInt32[Array, "..."]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
NUM_BLOCKS = 5
PARITY = 0x1BD11BDA


def unroll_threefry() -> None:
    """Makes JAX draw its random numbers without a loop on a CPU, from the next compilation on.

    JAX hashes with Threefry, and on a CPU compiles it as a loop of five passes, each of them
    several operations. An environment draws a handful of numbers at a time, so starting those
    operations costs more than they do: native rollouts of the humanoid took up to 8% longer
    (jax 0.9), and half a second more to compile. The numbers are the same, bit by bit.
    """
    mlir.register_lowering(
        threefry2x32_p, mlir.lower_fun(threefry2x32, multiple_results=True), platform="cpu"
    )


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
    keys = (key_0, key_1, key_0 ^ key_1 ^ jnp.uint32(PARITY))
    word_0, word_1 = word_0 + key_0, word_1 + key_1
    for block in range(NUM_BLOCKS):
        for rotation in ROTATIONS[block % 2]:
            word_0 = word_0 + word_1
            word_1 = word_0 ^ _rotate_left(word_1, rotation)
        word_0 = word_0 + keys[(block + 1) % 3]
        word_1 = word_1 + keys[(block + 2) % 3] + jnp.uint32(block + 1)
    return word_0, word_1


def _rotate_left(word: Words, num_bits: int) -> Words:
    return (word << jnp.uint32(num_bits)) | (word >> jnp.uint32(32 - num_bits))
