"""The contract of rewards, and the kernel that most of them share."""

import dataclasses
from abc import abstractmethod

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.terms.term import Carry, StepState, Term


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reward(Term):
    """One summand of the reward.

    The reward of a step is the sum of `scale * value` over the terms, per control step; nothing
    else is multiplied in. A penalty is a reward with a negative scale.

    Attributes:
      scale: weight of this term, of either sign.
    """

    scale: float = 1.0

    @abstractmethod
    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the unscaled value of the step that led to `state`."""


def squared_exponential(squared_error: Float[Array, ""], sigma: float) -> Float[Array, ""]:
    """Returns exp(-error^2 / sigma^2), in (0, 1]: 1 without error, 0.37 for an error of sigma."""
    return jnp.exp(-squared_error / sigma**2)
