"""Penalties for effort: changes of the action, torques, power, accelerations."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ksim.physics import JointSelection, PhysicsModel
from ksim.terms.parts.lookup import Names
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActionRateReward(Reward):
    """Measures the change of the action; a penalty by its default scale of -0.01.

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
        """Finds the joints by name; `None` selects all hinges and slides.

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
        """Finds the joints; see `TorqueReward.create`."""
        return cls(joints=model.joints.select(joints, cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the power, W, >= 0."""
        torques = self.joints.velocities(state.physics.qfrc_actuator)
        velocities = self.joints.velocities(state.physics.qvel)
        return jnp.sum(jnp.abs(torques * velocities)), carry


LastVelocities = tuple[Float[Array, "joints"], Bool[Array, ""]]
"""Joint velocities after the last step, and whether there was one in this episode."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointAccelerationReward(Reward):
    """Measures the acceleration of joints; a penalty by its default scale of -2.5e-7.

    r = sum ((dq/dt_t - dq/dt_{t-1}) / ctrl_dt)^2: mean accelerations over a control step. The
    memory is the velocities after the last step. An episode begins without them: its first value,
    at which the velocities of the start are read, is 0.

    Attributes:
      joints: the joints.
      ctrl_dt: control time step, s.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    joints: JointSelection
    ctrl_dt: float
    scale: float = -2.5e-7

    @classmethod
    def create(
        cls, model: PhysicsModel, joints: Names | None = None, *, scale: float = -2.5e-7
    ) -> "JointAccelerationReward":
        """Finds the joints, and takes the time step from the model; see `TorqueReward.create`."""
        selection = model.joints.select(joints, cls.__name__)
        return cls(joints=selection, ctrl_dt=model.ctrl_dt, scale=scale)

    def init(self, key: Key[Array, ""]) -> LastVelocities:
        """Returns a memory of no step."""
        del key
        return jnp.zeros(len(self.joints)), jnp.zeros((), dtype=bool)

    def __call__(
        self, state: StepState, carry: LastVelocities
    ) -> tuple[Float[Array, ""], LastVelocities]:
        """Returns the sum, rad^2/s^4 (m^2/s^4 for a slide), >= 0."""
        last_velocities, has_last = carry
        velocities = self.joints.velocities(state.physics.qvel)
        accelerations = (velocities - last_velocities) / self.ctrl_dt
        value = jnp.where(has_last, jnp.sum(accelerations**2), 0.0)
        return value, (velocities, jnp.ones_like(has_last))
