"""Positions and velocities of joints, as encoders measure them."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import JointSelection, PhysicsModel
from ksim.terms.observations.base import NoisyObservation
from ksim.terms.observations.noise import Noise
from ksim.terms.parts.joint_values import Pose, resolve_pose
from ksim.terms.parts.lookup import Names
from ksim.terms.term import StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointPositionObservation(NoisyObservation):
    """Joint positions relative to a default pose: `[joints]`, rad (m for a slide).

    Attributes:
      joints: the joints.
      default_positions: the pose that is observed as zeros, rad (m).
    """

    joints: JointSelection
    default_positions: tuple[float, ...]

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        default_positions: Pose = None,
        noise: Noise | None = None,
    ) -> "JointPositionObservation":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `joints` are by default all hinges and slides. For `default_positions` see `Pose`; `None`,
        for `qpos0`, means zeros unless the MJCF gives a joint a `ref`.

        Raises:
          KeyError: if a joint or the keyframe does not exist.
        """
        selection = model.joints.select(joints, cls.__name__)
        positions = resolve_pose(model, selection, default_positions, cls.__name__)
        return cls(joints=selection, default_positions=positions, noise=noise)

    def observe(self, state: StepState) -> Float[Array, "joints"]:
        """Returns q - q_default."""
        positions = self.joints.positions(state.physics.qpos)
        return positions - jnp.asarray(self.default_positions, positions.dtype)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointVelocityObservation(NoisyObservation):
    """Joint velocities: `[joints]`, rad/s (m/s for a slide).

    Attributes:
      joints: the joints.
    """

    joints: JointSelection

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        noise: Noise | None = None,
    ) -> "JointVelocityObservation":
        """Finds the joints by name; `None` selects all hinges and slides.

        Raises:
          KeyError: if a joint does not exist.
        """
        selection = model.joints.select(joints, cls.__name__)
        return cls(joints=selection, noise=noise)

    def observe(self, state: StepState) -> Float[Array, "joints"]:
        """Returns dq/dt."""
        return self.joints.velocities(state.physics.qvel)
