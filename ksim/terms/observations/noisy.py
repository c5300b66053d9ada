"""Observations with optional noise: all that ksim brings along."""

import dataclasses
from abc import abstractmethod

from jaxtyping import Array, Float, Key

from ksim.terms.observations.base import Observation
from ksim.terms.observations.noise import Noise
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoisyObservation(Observation):
    """An observation without memory that noise may be added to; subclasses write `observe`.

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
