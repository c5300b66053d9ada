"""Computes JAX's random numbers on a CPU without loops: the same ones, bit by bit.

JAX hashes with Threefry, and on a CPU compiles it as a loop of five passes, each of them several
operations. An environment draws a handful of numbers at a time, so starting those operations costs
more than they do: native rollouts of the humanoid took up to 8% longer (jax 0.9), and half a second
more to compile.

JAX looks up in a table the rule by which an operation is lowered. While ksim's programs are
lowered, another rule stands there; afterwards JAX has its own again. Written for jax 0.9.2 and
0.12.0.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

import jax

from ksim.xla.fallback import warn_of_plain_way

_lock = threading.RLock()


@contextlib.contextmanager
def unrolled_threefry() -> Iterator[None]:
    """Lowers random draws for CPUs without a loop while the context lasts."""
    with _lock, _our_rule() if _is_understood() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _our_rule() -> Iterator[Any]:
    """Puts our rule into JAX's table while the context lasts; yields the operation of the rule."""
    from ksim.xla.threefry_rule import rules_for_cpus, threefry2x32_p, written_without_loop

    rules = rules_for_cpus()
    rule_of_jax = rules[threefry2x32_p]
    rules[threefry2x32_p] = type(rule_of_jax)(rule=written_without_loop, inline=True)
    try:
        yield threefry2x32_p
    finally:
        rules[threefry2x32_p] = rule_of_jax


@functools.cache
def _is_understood() -> bool:
    """Returns whether this JAX takes our rule, tried on one hash; warns if not."""
    word = jax.ShapeDtypeStruct((1,), "uint32")
    try:
        with _our_rule() as hash_p:
            traced = jax.jit(lambda *words: hash_p.bind(*words)).trace(*[word] * 4)
            traced.lower(lowering_platforms=("cpu",))
    except Exception as error:  # whatever a JAX that has changed says to it
        warn_of_plain_way(
            f"its table of lowering rules ({type(error).__name__}: {error})",
            "random numbers, the same ones, are drawn in loops: rollouts on a CPU take up to 8%"
            " longer",
        )
        return False
    return True
