"""Penalties for what motion costs."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import JointSelection, PhysicsModel
from ksim.terms.lookup import Names
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActionRateReward(Reward):
    """Measures how much the action changes; a penalty by its default scale of -0.01.

    r = |a_t - a_{t-1}|^2

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    scale: float = -0.01

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the squared change, in the action's unit squared, >= 0."""
        return jnp.sum((state.action - state.previous_action) ** 2), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class TorqueReward(Reward):
    """Measures the actuators' torques; a penalty by its default scale of -1e-5.

    r = sum tau^2, with the torques of the last substep.

    Attributes:
      joints: the joints.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    joints: JointSelection
    scale: float = -1e-5

    @classmethod
    def create(
        cls, model: PhysicsModel, joints: Names | None = None, *, scale: float = -1e-5
    ) -> "TorqueReward":
        """Finds the joints.

        Args:
          model: the model.
          joints: names of joints; `None` selects all hinges and slides.
          scale: weight of this term.

        Raises:
          KeyError: if a joint does not exist.
        """
        return cls(joints=model.joints.select(joints, cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the sum, N^2 m^2 (N^2 for a slide), >= 0."""
        return jnp.sum(self.joints.velocities(state.physics.qfrc_actuator) ** 2), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyReward(Reward):
    """Measures the actuators' mechanical power; a penalty by its default scale of -1e-4.

    r = sum |tau * dq/dt|: braking costs as much as driving.

    Attributes:
      joints: the joints.
    """

    joints: JointSelection
    scale: float = -1e-4

    @classmethod
    def create(
        cls, model: PhysicsModel, joints: Names | None = None, *, scale: float = -1e-4
    ) -> "EnergyReward":
        """Finds the joints.

        Args:
          model: the model.
          joints: names of joints; `None` selects all hinges and slides.
          scale: weight of this term.

        Raises:
          KeyError: if a joint does not exist.
        """
        return cls(joints=model.joints.select(joints, cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the power, W, >= 0."""
        torques = self.joints.velocities(state.physics.qfrc_actuator)
        velocities = self.joints.velocities(state.physics.qvel)
        return jnp.sum(jnp.abs(torques * velocities)), carry
