"""A penalty for joints that change their velocity fast."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ksim.physics import JointSelection, PhysicsModel
from ksim.terms.lookup import Names
from ksim.terms.rewards.base import Reward
from ksim.terms.term import StepState

LastVelocities = tuple[Float[Array, "joints"], Bool[Array, ""]]
"""Joint velocities after the last step, and whether there was one in this episode."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointAccelerationReward(Reward):
    """Measures how fast joint velocities change; a penalty by its default scale of -2.5e-7.

    r = sum ((dq/dt_t - dq/dt_{t-1}) / ctrl_dt)^2: mean accelerations over a control step. The
    memory is the velocities after the last step. An episode begins without them: its first value,
    with which an environment learns the velocities of the start, is 0.

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
        """Finds the joints.

        Args:
          model: the model.
          joints: names of joints; `None` selects all hinges and slides.
          scale: weight of this term.

        Raises:
          KeyError: if a joint does not exist.
        """
        selection = model.joints.select(joints, cls.__name__)
        return cls(joints=selection, ctrl_dt=model.ctrl_dt, scale=scale)

    def init(self, key: Key[Array, ""]) -> LastVelocities:
        """Returns that there was no step yet."""
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
