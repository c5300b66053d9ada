"""Penalties for motions of the base that walking does not need."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import FreeJoint, PhysicsModel
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerticalVelocityReward(Reward):
    """Measures bouncing; a penalty by its default scale of -0.5.

    r = v_z^2, with v the base's velocity in the world's frame, m/s.

    Attributes:
      base: the free joint of the base.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    base: FreeJoint
    scale: float = -0.5

    @classmethod
    def create(cls, model: PhysicsModel, *, scale: float = -0.5) -> "VerticalVelocityReward":
        """Finds the base.

        Raises:
          ValueError: if the model has no free joint.
        """
        return cls(base=model.joints.require_base(cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the squared velocity, m^2/s^2, >= 0."""
        return self.base.linear_velocity(state.physics)[2] ** 2, carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class AngularVelocityXYReward(Reward):
    """Measures rolling and pitching; a penalty by its default scale of -0.05.

    r = omega_x^2 + omega_y^2, with omega the base's angular velocity in its own frame, rad/s.

    Attributes:
      base: the free joint of the base.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    base: FreeJoint
    scale: float = -0.05

    @classmethod
    def create(cls, model: PhysicsModel, *, scale: float = -0.05) -> "AngularVelocityXYReward":
        """Finds the base.

        Raises:
          ValueError: if the model has no free joint.
        """
        return cls(base=model.joints.require_base(cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the squared rate, rad^2/s^2, >= 0."""
        return jnp.sum(self.base.angular_velocity(state.physics)[:2] ** 2), carry
