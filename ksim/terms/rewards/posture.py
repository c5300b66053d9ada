"""Rewards staying up: every step, an upright body, its height."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import PhysicsModel
from ksim.terms.parts.checks import check_positive
from ksim.terms.parts.lookup import find_body
from ksim.terms.rewards.base import Reward, squared_exponential
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class AliveReward(Reward):
    """Rewards every step of an episode.

    r = 1
    """

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns 1."""
        return jnp.ones_like(state.time), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class UprightReward(Reward):
    """Rewards an upright body.

    r = exp(-2 (1 - cos(tilt)) / sigma^2), with the tilt between the body's z axis and the vertical.
    The error 2 (1 - cos(tilt)) is the squared distance between the tips of the two axes: about
    tilt^2, and largest upside down.

    Attributes:
      body_id: the body.
      sigma: kernel width, about rad, > 0.
    """

    body_id: int
    sigma: float = 0.3

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        body: str | None = None,
        *,
        sigma: float = 0.3,
        scale: float = 1.0,
    ) -> "UprightReward":
        """Finds the body by its name; the other arguments are the attributes.

        By default it is the floating base.

        Raises:
          KeyError: if there is no such body.
          ValueError: if `sigma` is not positive, or there is no floating base to default to.
        """
        return cls(body_id=find_body(model, body, cls.__name__), sigma=sigma, scale=scale)

    def __post_init__(self) -> None:
        check_positive(self, "sigma", 0.3)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the reward, in (0, 1]."""
        cos_tilt = state.physics.xmat[self.body_id, 2, 2]
        return squared_exponential(2.0 * (1.0 - cos_tilt), self.sigma), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseHeightReward(Reward):
    """Rewards a body at a certain height.

    r = exp(-(z - height)^2 / sigma^2)

    Attributes:
      body_id: the body.
      height: the wanted height of the body's origin above the world's, m.
      sigma: kernel width, m, > 0.
    """

    body_id: int
    height: float
    sigma: float = 0.1

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        height: float,
        *,
        body: str | None = None,
        sigma: float = 0.1,
        scale: float = 1.0,
    ) -> "BaseHeightReward":
        """Finds the body by its name; the other arguments are the attributes.

        By default it is the floating base.

        Raises:
          KeyError: if there is no such body.
          ValueError: if `sigma` is not positive, or there is no floating base to default to.
        """
        body_id = find_body(model, body, cls.__name__)
        return cls(body_id=body_id, height=height, sigma=sigma, scale=scale)

    def __post_init__(self) -> None:
        check_positive(self, "sigma", 0.1)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the reward, in (0, 1]."""
        error = state.physics.xpos[self.body_id, 2] - self.height
        return squared_exponential(error**2, self.sigma), carry
