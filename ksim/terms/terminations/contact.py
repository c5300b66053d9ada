"""Termination when something touches what it should not."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ksim.physics import PhysicsModel
from ksim.terms.parts.contacts import ContactSensors
from ksim.terms.parts.lookup import Names
from ksim.terms.term import Carry, StepState
from ksim.terms.terminations.base import Termination


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContactTermination(Termination):
    """Ends an episode when one of some sensors tells of a contact; a failure.

    For falls that a height or a tilt does not show: the trunk on a stair, an arm on the ground.

    Attributes:
      sensors: the sensors.
    """

    sensors: ContactSensors

    @classmethod
    def create(
        cls, model: PhysicsModel, sensors: Names, *, min_contact_force: float = 1.0
    ) -> "ContactTermination":
        """Finds the sensors; for `sensors` and `min_contact_force` see `ContactSensors.create`.

        Raises:
          KeyError: if there is no such sensor.
          ValueError: if it tells of no contact, or the force is not positive.
        """
        return cls(sensors=ContactSensors.create(model, sensors, cls.__name__, min_contact_force))

    def __call__(self, state: StepState, carry: Carry) -> tuple[Bool[Array, ""], Carry]:
        """Returns whether something is touched."""
        return jnp.any(self.sensors.is_touched(state.physics)), carry
