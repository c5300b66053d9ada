"""Termination of simulations that broke."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ksim.terms.parts.checks import check_positive
from ksim.terms.term import Carry, StepState
from ksim.terms.terminations.base import Termination


@dataclasses.dataclass(frozen=True)
class BadVelocityTermination(Termination):
    """Ends an episode when a velocity is absurd or the state is not finite; a failure.

    Attributes:
      max_velocity: largest magnitude of any entry of `qvel`, m/s or rad/s, > 0.
    """

    max_velocity: float = 100.0

    def __post_init__(self) -> None:
        check_positive(self, "max_velocity", 100.0)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Bool[Array, ""], Carry]:
        """Returns whether the simulation has broken."""
        # A comparison with a NaN is false, so this asks whether all is well.
        is_slow = jnp.all(jnp.abs(state.physics.qvel) <= self.max_velocity)
        return ~(is_slow & jnp.all(jnp.isfinite(state.physics.qpos))), carry
