"""Checks the values of terms while a program is traced, at no cost to the running program."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ksim.physics import EpisodeStart
from ksim.terms.actuators.base import Actuators
from ksim.terms.randomizers.base import Randomizer
from ksim.terms.term import Term

Types = Any
"""A tree whose leaves are the types of arrays, as `float32[3]`."""


def checked(
    family: str, name: str, term: Term, result: Any, carry: Any, like: Any = None
) -> tuple[Any, Any]:
    """Returns the value and the carry that a term returned, if they fit its family.

    Args:
      family: the family's name, as `rewards`.
      name: the term's name in it.
      term: the term.
      result: the result of its call.
      carry: the carry that it was called with; its types must stay the same.
      like: for families whose values have a given shape, an example of this shape.

    Raises:
      TypeError: if the value or the carry does not fit; the message says what to return.
    """
    who = f'{family.removesuffix("s")} "{name}" ({type(term).__name__})'
    if type(result) is not tuple or len(result) != 2:
        raise TypeError(
            f"The {who} returned {describe(result)}; every term returns its value and its carry."
            " Write `return value, carry`."
        )
    value, moved_on = result
    if (rule := broken_rule(family, term, value, like)) is not None:
        raise TypeError(f"The {who} returned the value {describe(value)}. {rule}")
    if types_of(moved_on) != types_of(carry):
        raise TypeError(
            f"The {who} returned the carry {describe(moved_on)}, and init or the last call gave"
            f" {describe(carry)}. Return a carry of the same structure, shapes and dtypes, or the"
            " one that came."
        )
    return value, moved_on


def broken_rule(family: str, term: Term, value: Any, like: Any) -> str | None:
    """Returns the rule of a family that a value breaks; `None` if it breaks none."""
    if family == "resets":
        is_start = isinstance(value, EpisodeStart) and _shapes(value) == _shapes(like)
        return None if is_start else f"Return {describe(like)}, as start.replace(qpos=...) does."
    if family == "randomizers":
        assert isinstance(term, Randomizer)
        wanted = {field: like[field] for field in term.fields}
        is_kept = isinstance(value, Mapping) and _shapes(dict(value)) == _shapes(wanted)
        return None if is_kept else f"Return its fields by name: {describe(wanted)}."
    if not isinstance(value, (Array, np.ndarray, np.generic, float, int)):  # bool is an int
        return "Return an array of jax.numpy."
    dtype, shape = jnp.result_type(value), jnp.shape(value)
    if family == "rewards":
        return None if shape == () else "Return a single number: jnp.sum(value), for instance."
    if family == "terminations":
        is_flag = shape == () and jnp.issubdtype(dtype, jnp.bool_)
        return None if is_flag else "Return a single boolean: jnp.any(value > 0), for instance."
    if family != "commands" and not jnp.issubdtype(dtype, jnp.floating):
        return "Return floating-point numbers: value.astype(jnp.float32)."
    if family == "events":
        rule = "Return a change of every velocity: jnp.zeros_like(state.physics.qvel).at[i].set(x)."
        return None if shape == jnp.shape(like) else rule
    if family == "actuators":
        assert isinstance(term, Actuators)
        rule = f"Return a control for each of its ctrl_ids: {len(term.ctrl_ids)} numbers."
        return None if shape == (len(term.ctrl_ids),) else rule
    return None if 0 not in shape else "Return at least one number."


def types_of(tree: Any) -> Types:
    """Returns the dtype and shape of each leaf, in the structure of the tree."""
    return jax.tree.map(lambda x: f"{jnp.result_type(x)}{list(jnp.shape(x))}", tree)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(jnp.shape, tree)


def describe(value: Any) -> str:
    """Returns the types of a tree of arrays, or the class of something else."""
    if value is None:
        return "None"
    try:
        return str(types_of(value)).replace("'", "")
    except TypeError:
        return f"a {type(value).__name__}"
