import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.interpreters import mlir
from jax.extend.random import threefry2x32_p

from ksim.xla import threefry
from ksim.xla.threefry import unrolled_threefry
from ksim.xla.threefry_rule import rules_for_cpus, threefry2x32


@pytest.fixture
def untried():
    """Whether JAX takes the rule is found out anew."""
    threefry._is_understood.cache_clear()
    yield
    threefry._is_understood.cache_clear()


def text_of(function, *arguments):
    return jax.jit(function).lower(*arguments).as_text()


def draw():
    """A function that JAX has not lowered yet: it would remember."""
    return lambda key: jax.random.normal(jax.random.fold_in(key, 7), (3,))


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
    operands = [jnp.uint32(word) for word in (*key, *words)]
    assert tuple(map(int, threefry2x32(*operands))) == expected
    with unrolled_threefry():
        lowered = jax.jit(lambda *operands: threefry2x32_p.bind(*operands)).lower(*operands)
    assert "while" not in lowered.as_text()
    assert tuple(map(int, lowered.compile()(*operands))) == expected


def test_random_numbers_are_drawn_without_a_loop():
    with unrolled_threefry():
        assert "while" not in text_of(draw(), jax.random.key(0))


def test_jax_itself_draws_in_a_loop():
    """If this fails, `threefry` can go."""
    assert "while" in text_of(draw(), jax.random.key(0))


def test_afterwards_jax_is_as_it_was():
    before = rules_for_cpus()[threefry2x32_p]
    with unrolled_threefry(), unrolled_threefry():
        assert rules_for_cpus()[threefry2x32_p] is not before
    assert rules_for_cpus()[threefry2x32_p] is before
    with pytest.raises(ZeroDivisionError), unrolled_threefry():
        _ = 1 / 0
    assert rules_for_cpus()[threefry2x32_p] is before
    assert "while" in text_of(draw(), jax.random.key(0))


def test_random_numbers_are_those_of_jax():
    key = jax.random.key(42)
    with unrolled_threefry():
        drawn = jax.jit(lambda key: jax.random.bits(key, (2, 3))).lower(key).compile()(key)
    # Drawn by jax 0.9.2 alone.
    expected = [[2098992034, 2919706841, 2646866425], [2409546199, 1935504149, 2516274904]]
    np.testing.assert_array_equal(drawn, np.array(expected, np.uint32))


def test_numbers_of_an_empty_shape():
    """As of a robot without joints."""
    with unrolled_threefry():
        lowered = jax.jit(lambda key: jax.random.bits(key, (3, 0))).lower(jax.random.key(0))
    assert lowered.compile()(jax.random.key(0)).shape == (3, 0)


def no_table(monkeypatch):
    monkeypatch.delattr(mlir, "_platform_specific_lowerings")


def no_rule_of_its_own(monkeypatch):
    monkeypatch.delitem(mlir._platform_specific_lowerings["cpu"], threefry2x32_p)


def another_rule(monkeypatch):
    monkeypatch.setitem(mlir._platform_specific_lowerings["cpu"], threefry2x32_p, "other")


@pytest.mark.parametrize("take_away", [no_table, no_rule_of_its_own, another_rule])
@pytest.mark.usefixtures("untried")
def test_without_the_door_jax_draws_the_same_numbers(take_away, monkeypatch, plain_ways):
    key = jax.random.key(0)
    with monkeypatch.context() as patch:
        take_away(patch)
        for _ in range(2):
            with unrolled_threefry():
                pass
    (message,) = plain_ways.messages
    assert "drawn in loops" in message
    with unrolled_threefry():  # it stays with the plain way
        lowered = jax.jit(draw()).lower(key)
    assert "while" in lowered.as_text()
    np.testing.assert_array_equal(lowered.compile()(key), draw()(key))
