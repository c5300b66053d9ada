"""Names the first rule of a contract that is broken; every suite does it through `Trial`."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ksim.envs.type_check import rule_message, types_of
from ksim.xla.key_data import is_key

LARGEST_SHOWN = 8  # numbers of an array that a message shows; of larger ones it names the first
Entries = dict[str, Any]
"""The leaves of a tree by their paths."""


class Trial:
    """Something under trial.

    Attributes:
      who: the name by which errors call it.
      num_traces: compilations of the functions that `counted` has returned.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.num_traces = 0

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a compiled function; `num_traces` counts how often it is compiled."""

        def count(*arguments: Any) -> Any:
            self.num_traces += 1
            return function(*arguments)

        return jax.jit(count)

    def require(
        self,
        is_kept: Any,
        rule: str,
        found: str,
        advice: str,
        error: type[Exception] = AssertionError,
    ) -> None:
        """Raises `error` unless the rule is kept."""
        if not is_kept:
            raise error(rule_message(self.who, rule, found, advice))

    def require_same_types(
        self,
        before: Any,
        after: Any,
        rule: str,
        advice: str,
        error: type[Exception] = AssertionError,
    ) -> None:
        """Raises `error` unless two trees have the same structure, shapes and dtypes."""
        change = difference(types_of(before), types_of(after))
        self.require(change is None, rule, f"{change}", advice, error)
        first, second = (jax.tree.structure(tree) for tree in (before, after))
        self.require(len({first, second}) == 1, rule, f"{first} is not {second}", advice, error)

    def require_same(
        self, before: Entries, after: Entries, rule: str, advice: str, tolerance: float = 0.0
    ) -> None:
        """Raises unless two dictionaries hold the same by name; numbers up to a tolerance."""
        change = difference(before, after, tolerance)
        self.require(change is None, rule, f"{change}", advice)

    @contextlib.contextmanager
    def functions_of_arrays(self, memory: str) -> Iterator[None]:
        """Names the rule that is broken where JAX cannot trace a method.

        Args:
          memory: where numbers are remembered from step to step.
        """
        try:
            yield
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
            found = f"{type(error).__name__} where the traceback above shows"
            advice = (
                f"write jnp.where for `if`, jnp for NumPy and math, and the {memory} for `self`."
            )
            rule = "methods are functions of JAX arrays"
            self.require(False, rule, found, advice, TypeError)


def numbers(tree: Any) -> Entries:
    """Returns a copy of each leaf by its path; of typed keys, their words."""
    leaves = ((jax.tree_util.keystr(p), x) for p, x in jax.tree_util.tree_leaves_with_path(tree))
    return {p: np.array(jax.random.key_data(x) if is_key(x) else x) for p, x in leaves}


def difference(before: Entries, after: Entries, tolerance: float = 0.0) -> str | None:
    """Returns the first entry that differs, and how.

    Args:
      before: entries by name.
      after: those that are compared with them.
      tolerance: relative, and absolute below 1; 0 compares bit by bit.
    """
    for name in before | after:
        x, y = (np.asarray(entries.get(name)) for entries in (before, after))
        is_close = tolerance > 0 and np.allclose(x, y, tolerance, tolerance, equal_nan=True)
        if x.tobytes() != y.tobytes() and not is_close:
            return f"{name or 'the result'}{_shown(before.get(name), after.get(name), tolerance)}"
    return None


def _shown(before: Any, after: Any, tolerance: float) -> str:
    """Returns two values that differ; of large arrays the first number that does."""
    x, y = np.asarray(before), np.asarray(after)
    if x.shape == y.shape and x.size > LARGEST_SHOWN:
        differs = np.argwhere(~np.isclose(x, y, tolerance, tolerance, equal_nan=True))
        if len(differs):
            place = tuple(differs[0].tolist())
            return f"{list(place)} is {x[place]}, then {y[place]}"
    return f" is {before}, then {after}"
