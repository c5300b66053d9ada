"""The contract of observations; those that ksim brings along take noise."""

import dataclasses
from abc import abstractmethod

from jaxtyping import Array, Float, Key

from ksim.terms.observations.noise import Noise
from ksim.terms.term import Carry, StepState, Term


class Observation(Term):
    """Observes one quantity for the policy or the critic."""

    @abstractmethod
    def __call__(
        self, state: StepState, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "size"], Carry]:
        """Returns the observed values, as a vector. The key is for noise."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisyObservation(Observation):
    """Adds noise to an observation without memory; subclasses write `observe`.

    Attributes:
      noise: the noise, or `None` for the exact values.
    """

    noise: Noise | None = None

    @abstractmethod
    def observe(self, state: StepState) -> Float[Array, "size"]:
        """Returns the exact values."""

    def __call__(
        self, state: StepState, carry: Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "size"], Carry]:
        """Returns the values with noise."""
        values = self.observe(state)
        if self.noise is not None:
            values = self.noise.add(values, key)
        return values, carry
