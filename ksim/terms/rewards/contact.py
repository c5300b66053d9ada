"""Rewards for contacts."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import PhysicsModel
from ksim.terms.parts.contacts import ContactSensors
from ksim.terms.parts.lookup import Names
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContactReward(Reward):
    """Counts the sensors that tell of a contact; a penalty by its default scale of -1.

    For what should not touch: knees and the ground, one leg and the other.

    Attributes:
      sensors: the sensors.
    """

    sensors: ContactSensors
    scale: float = -1.0

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        sensors: Names,
        *,
        min_contact_force: float = 1.0,
        scale: float = -1.0,
    ) -> "ContactReward":
        """Finds the sensors; for `sensors` and `min_contact_force` see `ContactSensors.create`.

        Raises:
          KeyError: if there is no such sensor.
          ValueError: if it tells of no contact, or the force is not positive.
        """
        found = ContactSensors.create(model, sensors, cls.__name__, min_contact_force)
        return cls(sensors=found, scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the number of sensors, >= 0."""
        is_touched = self.sensors.is_touched(state.physics)
        return jnp.sum(is_touched, dtype=state.physics.qpos.dtype), carry
