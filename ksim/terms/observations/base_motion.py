"""Pose and motion of the base; a simulation knows them exactly, a robot may not."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import MovingFrame, PhysicsModel
from ksim.physics.rotation import rotate_inverse
from ksim.terms.observations.base import NoisyObservation
from ksim.terms.observations.noise import Noise
from ksim.terms.parts.lookup import find_frame
from ksim.terms.term import StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class _BaseObservation(NoisyObservation):
    """Observes the floating base, or another body in its place.

    Attributes:
      base: the free joint of the base, or the body.
    """

    base: MovingFrame

    @classmethod
    def create(
        cls, model: PhysicsModel, body: str | None = None, *, noise: Noise | None = None
    ) -> "_BaseObservation":
        """Finds the body by its name; `None` stands for the floating base.

        Raises:
          KeyError: if there is no such body.
          ValueError: if there is no floating base to default to.
        """
        return cls(base=find_frame(model, body, cls.__name__), noise=noise)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseHeightObservation(_BaseObservation):
    """Height of the base above the world's origin: `[1]`, m."""

    def observe(self, state: StepState) -> Float[Array, "1"]:
        """Returns z."""
        return self.base.position(state.physics)[2:]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseOrientationObservation(_BaseObservation):
    """Orientation of the base in the world: `[4]`, unit quaternion `(w, x, y, z)` with w >= 0.

    Of the two quaternions of an orientation the one with w >= 0 is observed, so that equal
    orientations look equal.
    """

    def observe(self, state: StepState) -> Float[Array, "4"]:
        """Returns the quaternion."""
        quaternion = self.base.orientation(state.physics)
        return jnp.where(quaternion[0] < 0.0, -quaternion, quaternion)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseLinearVelocityObservation(_BaseObservation):
    """Linear velocity of the base in its own frame: `[3]`, m/s.

    MuJoCo keeps a free joint's linear velocity in the world's frame; this rotates it.
    """

    def observe(self, state: StepState) -> Float[Array, "3"]:
        """Returns R^T v."""
        orientation = self.base.orientation(state.physics)
        return rotate_inverse(orientation, self.base.linear_velocity(state.physics))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaseAngularVelocityObservation(_BaseObservation):
    """Angular velocity of the base in its own frame: `[3]`, rad/s.

    MuJoCo keeps a free joint's angular velocity in the body's frame already.
    """

    def observe(self, state: StepState) -> Float[Array, "3"]:
        """Returns omega."""
        return self.base.angular_velocity(state.physics)
