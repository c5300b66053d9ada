"""Checks what a term remembers beyond an episode, and levels of a curriculum of environments."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ksim.terms.curricula.base import Curriculum, EnvironmentCurriculum
from ksim.terms.term import Memory, RunMemory
from ksim.testing.rules import numbers
from ksim.testing.term_trial import TermTrial
from ksim.testing.term_worlds import World, stack

TOLERANCE = 1e-5  # for the same call compiled in two ways: relative, and absolute below 1
ADVICE = "draw from `key`, and remember in what is returned."


class _Kept(NamedTuple):
    """Memories after some episodes, by the method that returned them."""

    init_memory: Memory
    init_run: RunMemory
    after_episode: Memory
    contribute: Any
    after_rollout: RunMemory


def check_memories(trial: TermTrial) -> None:
    """Checks the memories of an environment and of the run.

    Two episodes are played in each environment, of one step each, and a rollout ends with each:
    eagerly one by one, and compiled all at once.

    Args:
      trial: the term, called and found right.
    """
    if trial.kind is Curriculum:
        kept = trial.term.init_memory(trial.keys[0, 0]), trial.run_memory
        rule, found = "a curriculum remembers in its carry", f"it remembers {kept!r:.80}"
        advice = "leave out init_memory and init_run, and write init: it lasts as long as the run."
        trial.require(not jax.tree.leaves(kept), rule, found, advice)
    else:
        _check_types(trial)
        _check_episodes(trial)
    if isinstance(trial.term, EnvironmentCurriculum):
        _check_levels(trial, trial.term)


def _check_types(trial: TermTrial) -> None:
    """Traces an episode and the end of a rollout, which compiles nothing."""
    term, world, keys = trial.term, trial.worlds[0], trial.keys[:, 0]
    memory = jax.eval_shape(term.init_memory, keys[0])
    changed, made = jax.eval_shape(
        lambda *arguments: _episode(trial, *arguments), world, memory, trial.run_memory, keys
    )
    rule = "a memory keeps its structure, shapes and dtypes"
    advice = "let after_episode return what init_memory returns, or the memory that came."
    trial.require_same_types(memory, changed, rule, advice, TypeError)
    is_lost = bool(jax.tree.leaves(made)) and not jax.tree.leaves(trial.run_memory)
    found = f"contribute returns {made!r:.120}, and init_run returns {trial.run_memory!r:.80}"
    advice = "return from init_run what after_rollout adds them to."
    trial.require(not is_lost, "contributions go to a memory of the run", found, advice)
    after = jax.eval_shape(term.after_rollout, trial.run_memory, made, world.progress)
    advice = "let after_rollout return what init_run returns, or the memory that came."
    trial.require_same_types(trial.run_memory, after, rule, advice, TypeError)


def _check_episodes(trial: TermTrial) -> None:
    def each(worlds: Sequence[World], memories: Memory, run_memory: RunMemory, keys: Any) -> Any:
        rows = [jax.tree.map(lambda x, i=i: x[i], memories) for i in range(len(worlds))]
        before = numbers((rows, run_memory))
        results = [
            _episode(trial, world, row, run_memory, key)
            for world, row, key in zip(worlds, rows, keys, strict=True)
        ]
        rule, advice = "no method changes its memory in place", "make new arrays and dictionaries."
        trial.require_same(before, numbers((rows, run_memory)), rule, advice)
        return stack(results)

    kept = _play(trial, each, trial.term.after_rollout)
    if not jax.tree.leaves(kept):
        return
    eager = _by_method(kept)
    for path, x in eager.items():
        advice = "look for divisions by 0, and for means over no episode."
        found = f"{path} is {x}"
        trial.require(np.isfinite(x).all(), "memories are finite", found, advice)
    again = _by_method(_play(trial, each, trial.term.after_rollout))
    trial.require_same(eager, again, "the same episodes leave the same memories", ADVICE)

    trial.num_traces = 0
    episodes = jax.vmap(lambda *arguments: _episode(trial, *arguments), (0, 0, None, 0))
    each_compiled = trial.counted(episodes)

    def all_at_once(worlds: Sequence[World], *arguments: Any) -> Any:
        return each_compiled(stack(worlds), *arguments)

    compiled = _by_method(_play(trial, all_at_once, jax.jit(trial.term.after_rollout)))
    rule = "memories are the same where all environments are compiled together"
    advice = "do not ask whether arrays are traced, and give custom operations a batching rule."
    trial.require_same(eager, compiled, rule, advice, TOLERANCE)
    rule, found = "one compilation serves all episodes", f"two episodes need {trial.num_traces}"
    advice = "give what init_memory and init_run return a dtype, as in jnp.float32(0)."
    trial.require(trial.num_traces == 1, rule, found, advice)


def _episode(
    trial: TermTrial, world: World, memory: Memory, run_memory: RunMemory, keys: Key[Array, "3"]
) -> tuple[Memory, Any]:
    """Plays an episode of one step; returns the memory after it, and its contribution."""
    carry = trial.begin(memory, run_memory, keys[0])
    _, carry = trial.call(world, carry, keys[1])
    made = trial.term.contribute(memory, carry, world.end)
    return trial.term.after_episode(memory, carry, world.end), made


def _play(trial: TermTrial, each: Callable[..., Any], after_rollout: Callable[..., Any]) -> _Kept:
    """Plays two episodes in each environment, with the end of a rollout after both."""
    first = stack([trial.term.init_memory(key) for key in trial.keys[0]])
    first_run = trial.term.init_run(trial.keys[0, 0])
    memories, run_memory, made = first, first_run, ()
    for worlds in (trial.worlds, trial.worlds[1:] + trial.worlds[:1]):
        memories, made = each(worlds, memories, run_memory, trial.keys.T)
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), made)
        run_memory = after_rollout(run_memory, sums, worlds[0].progress)
    return _Kept(first, first_run, memories, made, run_memory)


def _by_method(kept: _Kept) -> dict[str, Any]:
    return {path[1:]: x for path, x in numbers(kept).items()}


def _check_levels(trial: TermTrial, term: EnvironmentCurriculum) -> None:
    """Tries `next_level` after easy and hard episodes that ended in either way."""
    levels = jnp.asarray([0.0, 0.5, 1.0])
    results = [
        world.result.replace(is_terminated=jnp.bool_(flag))  # type: ignore[attr-defined]
        for world in trial.worlds
        for flag in (False, True)
    ]
    cases = [(level, result) for level in levels for result in results]
    traced = jax.eval_shape(term.next_level, *cases[0])
    rule, found = "next_level returns a single number", f"it returns {traced!r:.80}"
    is_number = isinstance(traced, jax.ShapeDtypeStruct)
    is_number = is_number and (traced.shape, traced.dtype) == ((), jnp.float32)
    advice = "write jnp.clip(level + step, 0.0, 1.0), of the level of one environment."
    trial.require(is_number, rule, found, advice, TypeError)
    eager = [np.asarray(term.next_level(*case)) for case in cases]
    for (level, _), after in zip(cases, eager, strict=True):
        found = f"next_level gives {after} after {level}"
        trial.require(0 <= after <= 1, "levels lie between 0 and 1", found, advice)
    compiled = jax.jit(jax.vmap(term.next_level))(*stack(cases))
    rule, advice = "next_level is pure and can be compiled", "use `level` and `episode` alone."
    expected = {"next_level": np.stack(eager)}
    trial.require_same(expected, {"next_level": np.asarray(compiled)}, rule, advice, TOLERANCE)
