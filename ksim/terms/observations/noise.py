"""Kinds of noise, which `NoisyObservation` adds."""

import dataclasses
from abc import ABC, abstractmethod

import jax
from jaxtyping import Array, Float, Key

from ksim.terms.parts.checks import check_not_negative


class Noise(ABC):
    """Disturbs the values of an observation, independently of each other and of other steps."""

    @abstractmethod
    def add(self, values: Float[Array, "size"], key: Key[Array, ""]) -> Float[Array, "size"]:
        """Returns the disturbed values."""


@dataclasses.dataclass(frozen=True)
class GaussianNoise(Noise):
    """Adds normally distributed noise.

    Attributes:
      std: standard deviation, in the unit of the observation, >= 0.
    """

    std: float

    def __post_init__(self) -> None:
        check_not_negative(self, "std", 0.01)

    def add(self, values: Float[Array, "size"], key: Key[Array, ""]) -> Float[Array, "size"]:
        """See `Noise.add`."""
        return values + self.std * jax.random.normal(key, values.shape, values.dtype)


@dataclasses.dataclass(frozen=True)
class UniformNoise(Noise):
    """Adds noise drawn uniformly from [-magnitude, magnitude].

    Attributes:
      magnitude: largest disturbance, in the unit of the observation, >= 0.
    """

    magnitude: float

    def __post_init__(self) -> None:
        check_not_negative(self, "magnitude", 0.01)

    def add(self, values: Float[Array, "size"], key: Key[Array, ""]) -> Float[Array, "size"]:
        """See `Noise.add`."""
        noise = jax.random.uniform(key, values.shape, values.dtype, minval=-1.0, maxval=1.0)
        return values + self.magnitude * noise
