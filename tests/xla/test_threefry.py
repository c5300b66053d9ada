import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry2x32_p

from ksim.xla.threefry import threefry2x32, unroll_threefry


# The vectors of the authors' own tests (Random123, kat_vectors: threefry2x32 with 20 rounds).
@pytest.mark.parametrize(
    "key, words, expected",
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(key, words, expected):
    unroll_threefry()
    operands = [jnp.uint32(word) for word in (*key, *words)]
    assert tuple(map(int, threefry2x32(*operands))) == expected
    compiled = jax.jit(lambda *operands: threefry2x32_p.bind(*operands))
    assert tuple(map(int, compiled(*operands))) == expected


def test_random_numbers_are_drawn_without_a_loop():
    unroll_threefry()

    def draw(key):
        return jax.random.normal(jax.random.fold_in(key, 7), (3,))

    assert "while" not in jax.jit(draw).lower(jax.random.key(0)).as_text()


def test_random_numbers_are_those_of_jax():
    unroll_threefry()
    drawn = jax.jit(lambda key: jax.random.bits(key, (2, 3)))(jax.random.key(42))
    # Drawn by jax 0.9.2 alone.
    expected = [[2098992034, 2919706841, 2646866425], [2409546199, 1935504149, 2516274904]]
    np.testing.assert_array_equal(drawn, np.array(expected, np.uint32))


def test_numbers_of_an_empty_shape():
    """As of a robot without joints."""
    unroll_threefry()
    assert jax.jit(lambda key: jax.random.bits(key, (3, 0)))(jax.random.key(0)).shape == (3, 0)
