"""Memories of terms that outlive episodes: those of an environment, and those of the run."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from ksim.envs.mujoco.term_keys import KeysByFamily
from ksim.envs.mujoco.term_values import describe, types_of
from ksim.terms.term import EpisodeEnd, Term, TrainingProgress

Carries = dict[str, dict[str, Any]]
"""One pytree of each term, as its carry, by family and name."""


class TermMemories:
    """Creates and updates the memories of all terms of a task.

    Attributes:
      has_any: true if any term has a memory that outlives an episode.
      has_run: true if any has a memory of the run.
    """

    def __init__(self, families: Mapping[str, Mapping[str, Term]]) -> None:
        """Takes the terms by family and name."""
        self._families = families
        key = jax.random.key(0)
        self.has_run = bool(jax.tree.leaves(jax.eval_shape(self._init_run, key)))
        of_environment = jax.eval_shape(lambda: self._each(lambda term: term.init_memory(key)))
        self.has_any = self.has_run or bool(jax.tree.leaves(of_environment))

    def init(self, keys: KeysByFamily) -> Carries:
        """Returns the memories of a new environment."""
        return {
            family: {name: term.init_memory(keys[family][name]) for name, term in terms.items()}
            for family, terms in self._families.items()
        }

    def init_run(self, key: Key[Array, ""]) -> Carries | tuple[()]:
        """Returns the memory of a new run; `()` if no term has one."""
        return self._init_run(key) if self.has_run else ()

    def begin(self, memories: Carries, run_memory: Any, keys: KeysByFamily) -> Carries:
        """Returns the carries of a new episode."""
        return {
            family: {
                name: term.begin(
                    memories[family][name], _of(run_memory, family, name), keys[family][name]
                )
                for name, term in terms.items()
            }
            for family, terms in self._families.items()
        }

    def after_episode(
        self,
        memories: Carries,
        carries: Carries,
        episode: EpisodeEnd,
        has_ended: Bool[Array, ""],
    ) -> tuple[Carries, Carries | tuple[()]]:
        """Updates the memories of an environment after an episode.

        Args:
          memories: the memories before it.
          carries: the carries at its end.
          episode: its outcome.
          has_ended: whether an episode ended; if not, nothing changes and nothing is contributed.

        Returns:
          The memories, and the terms' contributions to those of the run.

        Raises:
          TypeError: if a term returns a memory of other types than it was given.
        """

        def after(term: Term, who: str, memory: Any, carry: Any) -> Any:
            changed = term.after_episode(memory, carry, episode)
            _require_same_types(who, "after_episode", changed, memory)
            return jax.tree.map(lambda x, y: jnp.where(has_ended, x, y), changed, memory)

        def contribute(term: Term, who: str, memory: Any, carry: Any) -> Any:
            del who
            made = term.contribute(memory, carry, episode)
            return jax.tree.map(lambda x: jnp.where(has_ended, x, jnp.zeros_like(x)), made)

        return (
            self._each_named(after, memories, carries),
            self._each_named(contribute, memories, carries) if self.has_run else (),
        )

    def after_rollout(
        self, run_memory: Any, contributions: Any, progress: TrainingProgress
    ) -> Carries | tuple[()]:
        """Returns the memory of the run after a rollout.

        Raises:
          TypeError: if a term returns a memory of other types than it was given.
        """
        if not self.has_run:
            return ()

        def after(term: Term, who: str, memory: Any, sums: Any) -> Any:
            changed = term.after_rollout(memory, sums, progress)
            _require_same_types(who, "after_rollout", changed, memory)
            return changed

        return self._each_named(after, run_memory, contributions)

    def _init_run(self, key: Key[Array, ""]) -> Carries:
        count = sum(len(terms) for terms in self._families.values())
        keys = iter(jax.random.split(key, max(count, 1)))
        return self._each(lambda term: term.init_run(next(keys)))

    def _each(self, function: Any) -> Carries:
        return {
            family: {name: function(term) for name, term in terms.items()}
            for family, terms in self._families.items()
        }

    def _each_named(self, function: Any, *trees: Carries) -> Carries:
        """Calls a function with each term, its name for errors, and its part of each tree."""
        return {
            family: {
                name: function(
                    term,
                    f'{family.removesuffix("s")} "{name}" ({type(term).__name__})',
                    *(tree[family][name] for tree in trees),
                )
                for name, term in terms.items()
            }
            for family, terms in self._families.items()
        }


def _of(run_memory: Any, family: str, name: str) -> Any:
    return run_memory[family][name] if run_memory else ()


def _require_same_types(who: str, method: str, found: Any, expected: Any) -> None:
    if types_of(found) != types_of(expected):
        raise TypeError(
            f"{method} of the {who} returned {describe(found)}, and was given"
            f" {describe(expected)}. Return a memory of the same structure, shapes and dtypes."
        )
