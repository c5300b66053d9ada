"""Termination when the robot has fallen."""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ksim.physics import PhysicsModel
from ksim.terms.parts.lookup import find_body
from ksim.terms.term import Carry, StepState
from ksim.terms.terminations.base import Termination


@dataclasses.dataclass(frozen=True, kw_only=True)
class FallenTermination(Termination):
    """Ends an episode when a body is too low or tilts too far; a failure.

    A body whose height or tilt is not a number has fallen, too.

    Attributes:
      body_id: the body.
      min_height: lowest height of the body's origin above the world's, m; `None` for any.
      max_tilt_deg: largest angle between the body's z axis and the vertical, degrees, in
        (0, 180]; `None` for any.
    """

    body_id: int
    min_height: float | None = None
    max_tilt_deg: float | None = None

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        body: str | None = None,
        *,
        min_height: float | None = None,
        max_tilt_deg: float | None = None,
    ) -> "FallenTermination":
        """Finds the body by its name; the other arguments are the attributes.

        By default it is the floating base.

        Raises:
          KeyError: if there is no such body.
          ValueError: if neither limit is given, the tilt is out of bounds, or there is no floating
            base to default to.
        """
        body_id = find_body(model, body, cls.__name__)
        return cls(body_id=body_id, min_height=min_height, max_tilt_deg=max_tilt_deg)

    def __post_init__(self) -> None:
        if self.min_height is None and self.max_tilt_deg is None:
            raise ValueError(
                f"{type(self).__name__}: a limit is needed. Write min_height=0.5 (m) or"
                " max_tilt_deg=60.0, or both."
            )
        if self.max_tilt_deg is not None and not 0.0 < self.max_tilt_deg <= 180.0:
            raise ValueError(
                f"{type(self).__name__}(max_tilt_deg={self.max_tilt_deg!r}): max_tilt_deg must lie"
                " between 0 and 180 degrees. Write max_tilt_deg=60.0, for instance."
            )

    def __call__(self, state: StepState, carry: Carry) -> tuple[Bool[Array, ""], Carry]:
        """Returns whether the robot has fallen."""
        is_standing = jnp.ones((), dtype=bool)
        if self.min_height is not None:
            is_standing &= state.physics.xpos[self.body_id, 2] >= self.min_height
        if self.max_tilt_deg is not None:
            cos_tilt = state.physics.xmat[self.body_id, 2, 2]
            is_standing &= cos_tilt >= math.cos(math.radians(self.max_tilt_deg))
        return ~is_standing, carry
