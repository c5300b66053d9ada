"""Contacts and positions of the feet."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Array, Float

from ksim.physics import MovingFrame, PhysicsModel
from ksim.physics.rotation import rotate_inverse
from ksim.terms.observations.base import NoisyObservation
from ksim.terms.observations.noise import Noise
from ksim.terms.parts.feet import Feet, FeetNames, names_of
from ksim.terms.parts.lookup import find_all, find_frame
from ksim.terms.term import StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeetContactObservation(NoisyObservation):
    """Contact of each foot: `[feet]`, 1 or 0; of touch sensors 0 right after a reset.

    Attributes:
      feet: the feet.
    """

    feet: Feet

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        *,
        min_contact_force: float = 1.0,
        noise: Noise | None = None,
    ) -> "FeetContactObservation":
        """Finds the feet; for `feet` and `min_contact_force` see `Feet.create`.

        Raises:
          KeyError: if there is no such site or sensor.
          ValueError: if a foot has no sensor, or the force is not positive.
        """
        found = Feet.create(model, feet, cls.__name__, min_contact_force)
        return cls(feet=found, noise=noise)

    def observe(self, state: StepState) -> Float[Array, "feet"]:
        """Returns 1 for each foot in contact."""
        return self.feet.is_in_contact(state.physics).astype(state.physics.qpos.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeetPositionObservation(NoisyObservation):
    """Positions of the feet relative to the base, in its frame: `[3 * feet]`, m.

    Attributes:
      base: the free joint of the base, or the body in its place.
      site_ids: the feet's sites.
    """

    base: MovingFrame
    site_ids: tuple[int, ...]

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        *,
        body: str | None = None,
        noise: Noise | None = None,
    ) -> "FeetPositionObservation":
        """Finds the feet by the names of their sites: the keys, if `feet` is a dictionary.

        The positions are relative to `body`, by its name; `None` stands for the floating base.

        Raises:
          KeyError: if there is no such site or body.
          ValueError: if there is no floating base to default to.
        """
        return cls(
            base=find_frame(model, body, cls.__name__),
            site_ids=find_all(model, "site", names_of(feet), cls.__name__),
            noise=noise,
        )

    def observe(self, state: StepState) -> Float[Array, "size"]:
        """Returns x, y, z of the first foot, then of the next."""
        feet = state.physics.site_xpos[np.array(self.site_ids)]
        arms = feet - self.base.position(state.physics)[None, :]
        orientation = self.base.orientation(state.physics)
        return jax.vmap(rotate_inverse, in_axes=(None, 0))(orientation, arms).reshape(-1)
