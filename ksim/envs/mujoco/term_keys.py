"""Random keys for the terms of a task."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Key

KeysByFamily = dict[str, dict[str, Key[Array, ""]]]


class TermKeys(NamedTuple):
    """Keys of one environment's terms for one step, by family and name.

    Attributes:
      initial: keys for `init`.
      call: keys for the call; families that draw nothing leave theirs unused.
    """

    initial: KeysByFamily
    call: KeysByFamily

    @classmethod
    def split(cls, key: Key[Array, ""], families: Mapping[str, Mapping[str, Any]]) -> "TermKeys":
        """Splits a key once for all terms: a hash is compiled in every place where it is computed.

        Args:
          key: the key of the step.
          families: the terms, by family and name.
        """
        num_terms = sum(len(terms) for terms in families.values())
        keys = iter(jax.random.split(key, 2 * num_terms))
        initial, call = (
            {family: {name: next(keys) for name in terms} for family, terms in families.items()}
            for _ in range(2)
        )
        return cls(initial, call)
