"""The contract of rewards."""

import dataclasses
from abc import abstractmethod

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
