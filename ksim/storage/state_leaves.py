"""Names the leaves of a state, and compares those of two states.

A leaf's name is its path in the pytree, such as `train/params/actor/dense_0/kernel`.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from ksim.config import ConfigError
from ksim.xla.key_data import is_key

_MAX_LISTED = 8


class CheckpointMismatchError(ConfigError):
    """A checkpoint holds other leaves, shapes or dtypes than the state that it should fill."""


class LeafSpec(NamedTuple):
    """Shape and dtype of a leaf; the dtype of typed PRNG keys is written `key<...>`."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Returns the leaves of `tree` by name, in the order of `jax.tree.leaves`.

    Raises:
      ValueError: if two leaves share a name, as in `{"a/b": 0, "a": {"b": 1}}`.
    """
    paths_and_leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/") or "state"
        for path, _ in paths_and_leaves
    ]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(
            f"Two leaves of the state are both called {repeated[0]!r}. Rename one: the names of "
            "nested fields, joined by '/', must differ."
        )
    return {name: leaf for name, (_, leaf) in zip(names, paths_and_leaves, strict=True)}


def leaf_specs(tree: PyTree) -> dict[str, LeafSpec]:
    """Returns shape and dtype of every leaf of `tree`, by name; raises as its two helpers do."""
    return {name: leaf_spec(name, leaf) for name, leaf in named_leaves(tree).items()}


def leaf_spec(name: str, leaf: Any) -> LeafSpec:
    """Returns shape and dtype of an array, a typed key, a `ShapeDtypeStruct` or a number.

    Raises:
      TypeError: if the leaf is none of these.
    """
    described = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    if is_key(described):
        return LeafSpec(tuple(described.shape), str(described.dtype))
    dtype = np.dtype(described.dtype)
    if dtype.kind in "OUSMm":
        raise TypeError(
            f"Leaf {name} of the state is a {type(leaf).__name__} of dtype {dtype}. A state holds "
            "arrays of numbers and PRNG keys; put everything else into the metadata."
        )
    return LeafSpec(tuple(described.shape), dtype.name)


def check_specs_fit(
    expected: Mapping[str, LeafSpec], found: Mapping[str, LeafSpec], source: str
) -> None:
    """Compares the leaves that a state needs with the leaves of a checkpoint.

    Args:
      expected: leaves of the state to fill.
      found: leaves of the checkpoint.
      source: name of the checkpoint in errors.

    Raises:
      CheckpointMismatchError: with the bad leaves and the likely reason. Another dtype is an
        error; nothing is ever cast.
    """
    problems = [
        f"{name}: expected {expected[name]}, found {found.get(name, 'no such leaf')}"
        for name in expected
        if expected[name] != found.get(name)
    ]
    problems += [
        f"{name}: expected no such leaf, found {found[name]}"
        for name in found
        if name not in expected
    ]
    if not problems:
        return
    listed = problems[:_MAX_LISTED]
    if len(problems) > len(listed):
        listed.append(f"... and {len(problems) - len(listed)} more")
    raise CheckpointMismatchError(
        f"{source} does not fit this run; {len(problems)} of its leaves differ:\n  "
        + "\n  ".join(listed)
        + f"\n{_likely_reason(expected, found)} A run keeps its options in its config.yaml."
    )


def _likely_reason(expected: Mapping[str, LeafSpec], found: Mapping[str, LeafSpec]) -> str:
    if expected.keys() != found.keys():
        return (
            "Leaves are missing or additional: the task, its engine, the kind of network or the"
            " optimizer differs from that of the saved run."
        )
    differing = [(found[name], spec) for name, spec in expected.items() if spec != found[name]]
    leading = {(then.shape[:1], now.shape[:1]) for then, now in differing}
    is_rest_equal = all(
        then.shape[1:] == now.shape[1:] and then.dtype == now.dtype for then, now in differing
    )
    match list(leading):
        case [((then_size,), (now_size,))] if is_rest_equal:
            return f"Only leading axes differ: is it num_envs, {then_size} then and {now_size} now?"
    return "The network sizes, num_envs or the precision differ from those of the saved run."
