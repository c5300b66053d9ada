"""The protocol that every term of every family obeys."""

import re
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from flax import struct
from jaxtyping import Array, Float, Key

from ksim.physics import PhysicsData

Carry = Any
"""A term's memory of one environment: any pytree of arrays, `()` if it has none."""


class Term(ABC):  # noqa: B024 - each family adds its abstract call
    """A small, frozen, final piece of a task.

    A term is a frozen dataclass of plain values (numbers, names, indices), built once from the
    model and closed over by the compiled program. It is called once in every control step, for
    one environment (the training program vmaps it), purely: memory goes in as `carry` and comes
    back beside the value. Each family's `base.py` states what it is called with.
    """

    def init(self, key: Key[Array, ""]) -> Carry:
        """Returns the memory at the start of an episode; `()` for a term without memory."""
        del key
        return ()


@struct.dataclass
class StepState:
    """What a term may read: one environment, after a control step.

    Attributes:
      physics: the simulation; derived fields are current.
      action: `[action_size]` the action that led here; zeros at the start of an episode.
      previous_action: `[action_size]` the one before.
      commands: what the robot was told to do during the step, by the name of the command.
      time: `[]` seconds since the episode began.
      level: `[]` curriculum level, in [0, 1].
    """

    physics: PhysicsData
    action: Float[Array, "action_size"]
    previous_action: Float[Array, "action_size"]
    commands: dict[str, Array]
    time: Float[Array, ""]
    level: Float[Array, ""]


AnyTerm = TypeVar("AnyTerm", bound=Term)


def name_terms(
    terms: Mapping[str, AnyTerm] | Sequence[AnyTerm] | AnyTerm, family: type[Term]
) -> dict[str, AnyTerm]:
    """Returns the terms that a hook gave as a dictionary.

    Args:
      terms: a dictionary, a list (each term is then named after its class, in snake case and
        without the family's name: `UprightReward` is `upright`), or one term.
      family: the contract that each must fulfil.

    Raises:
      TypeError: if something is not a term of the family.
      ValueError: if two terms of a list are of the same class.
    """
    if isinstance(terms, Term):
        terms = [terms]
    if isinstance(terms, Mapping):
        named = dict(terms)
    else:
        named = {}
        for term in terms:
            kind = term if isinstance(term, type) else type(term)
            name = _snake_case(kind.__name__.removesuffix(family.__name__))
            if name in named:
                raise ValueError(
                    f"Two terms are called {name!r} after their class {kind.__name__}."
                    f' Give a dictionary instead of a list: {{"{name}_left": ..., ...}}.'
                )
            named[name] = term
    for name, term in named.items():
        if not isinstance(term, family):
            found, hint = type(term).__name__, ""
            if isinstance(term, type):
                found = f"the class {term.__name__}"
                if issubclass(term, family):
                    hint = f" Write {term.__name__}(...) instead of the class."
            raise TypeError(f"{name!r} must be a {family.__name__}, found {found}.{hint}")
    return named


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
