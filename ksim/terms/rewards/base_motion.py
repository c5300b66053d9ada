"""Penalties for motions of the base that walking does not need."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import MovingFrame, PhysicsModel
from ksim.terms.parts.lookup import find_frame
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerticalVelocityReward(Reward):
    """Measures bouncing; a penalty by its default scale of -0.5.

    r = v_z^2, with v the base's velocity in the world's frame, m/s.

    Attributes:
      base: the free joint of the base, or the body in its place.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    base: MovingFrame
    scale: float = -0.5

    @classmethod
    def create(
        cls, model: PhysicsModel, body: str | None = None, *, scale: float = -0.5
    ) -> "VerticalVelocityReward":
        """Finds the body by its name; `None` stands for the floating base.

        Raises:
          KeyError: if there is no such body.
          ValueError: if there is no floating base to default to.
        """
        return cls(base=find_frame(model, body, cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the squared velocity, m^2/s^2, >= 0."""
        return self.base.linear_velocity(state.physics)[2] ** 2, carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class AngularVelocityXYReward(Reward):
    """Measures rolling and pitching; a penalty by its default scale of -0.05.

    r = omega_x^2 + omega_y^2, with omega the base's angular velocity in its own frame, rad/s.

    Attributes:
      base: the free joint of the base, or the body in its place.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    base: MovingFrame
    scale: float = -0.05

    @classmethod
    def create(
        cls, model: PhysicsModel, body: str | None = None, *, scale: float = -0.05
    ) -> "AngularVelocityXYReward":
        """Finds the body; see `VerticalVelocityReward.create`."""
        return cls(base=find_frame(model, body, cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the squared rate, rad^2/s^2, >= 0."""
        return jnp.sum(self.base.angular_velocity(state.physics)[:2] ** 2), carry
