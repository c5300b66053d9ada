"""Rewards for staying up."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class AliveReward(Reward):
    """Rewards every step of an episode.

    r = 1
    """

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns 1."""
        return jnp.ones_like(state.time), carry
