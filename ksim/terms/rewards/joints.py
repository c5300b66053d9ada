"""Penalties for the positions of joints."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ksim.physics import JointSelection, PhysicsModel
from ksim.terms.parts.checks import check_fraction
from ksim.terms.parts.command_values import is_told_to_move
from ksim.terms.parts.joint_values import Pose, resolve_pose
from ksim.terms.parts.lookup import Names
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointDeviationReward(Reward):
    """Measures the deviation of joints from a pose; a penalty by its default scale of -0.1.

    r = sum |q - q_default|

    Attributes:
      joints: the joints.
      default_positions: the pose, rad (m for a slide).
    """

    joints: JointSelection
    default_positions: tuple[float, ...]
    scale: float = -0.1

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        default_positions: Pose = None,
        scale: float = -0.1,
    ) -> "JointDeviationReward":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `joints` are by default all hinges and slides; for `default_positions` see `Pose`.

        Raises:
          KeyError: if a joint or the keyframe does not exist.
        """
        selection = model.joints.select(joints, cls.__name__)
        positions = resolve_pose(model, selection, default_positions, cls.__name__)
        return cls(joints=selection, default_positions=positions, scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the sum, rad (m), >= 0."""
        positions = self.joints.positions(state.physics.qpos)
        default_positions = jnp.asarray(self.default_positions, positions.dtype)
        return jnp.sum(jnp.abs(positions - default_positions)), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class StandStillReward(Reward):
    """Measures the deviation from a pose to stand in; a penalty by its default scale of -1.

    r = sum |q - q_default| while no command is above 0.1, else 0

    Attributes:
      joints: the joints.
      default_positions: the pose, rad (m for a slide).
      commands: names of commands, at least one; without one above 0.1 the robot is told to stand.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978; the term is in the code that came with it.
    """

    joints: JointSelection
    default_positions: tuple[float, ...]
    commands: tuple[str, ...] = ("linear_velocity",)
    scale: float = -1.0

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        default_positions: Pose = None,
        commands: Names = ("linear_velocity",),
        scale: float = -1.0,
    ) -> "StandStillReward":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `joints` are by default all hinges and slides; for `default_positions` see `Pose`.

        Raises:
          KeyError: if a joint or the keyframe does not exist.
          ValueError: if no command is named.
        """
        selection = model.joints.select(joints, cls.__name__)
        positions = resolve_pose(model, selection, default_positions, cls.__name__)
        return cls(
            joints=selection, default_positions=positions, commands=tuple(commands), scale=scale
        )

    def __post_init__(self) -> None:
        if not self.commands:
            raise ValueError(
                f"{type(self).__name__}(commands=()): without a command the robot is never told to"
                ' stand. Write commands=("linear_velocity",), or JointDeviationReward for a pose'
                " that always matters."
            )

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the sum, rad (m), >= 0."""
        positions = self.joints.positions(state.physics.qpos)
        default_positions = jnp.asarray(self.default_positions, positions.dtype)
        deviation = jnp.sum(jnp.abs(positions - default_positions))
        is_moving = is_told_to_move(state, self.commands, type(self).__name__)
        return jnp.where(is_moving, 0.0, deviation), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class JointLimitReward(Reward):
    """Measures the excess of joints over soft limits; a penalty by its default scale of -1.

    r = sum max(0, q - upper_soft) + max(0, lower_soft - q). The soft range has the centre of the
    joint's range and `soft_fraction` of its width; joints without limits do not count.

    Attributes:
      joints: the joints.
      soft_fraction: width of the soft range over that of the joint's range, in [0, 1].
    """

    joints: JointSelection
    soft_fraction: float = 0.95
    scale: float = -1.0

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        joints: Names | None = None,
        *,
        soft_fraction: float = 0.95,
        scale: float = -1.0,
    ) -> "JointLimitReward":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `joints` are by default all hinges and slides.

        Raises:
          KeyError: if a joint does not exist.
          ValueError: if `soft_fraction` is out of bounds.
        """
        selection = model.joints.select(joints, cls.__name__)
        return cls(joints=selection, soft_fraction=soft_fraction, scale=scale)

    def __post_init__(self) -> None:
        check_fraction(self, "soft_fraction", 0.95)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the sum, rad (m), >= 0."""
        lower, upper = np.array(self.joints.lower), np.array(self.joints.upper)
        margin = np.where(np.isfinite(upper), upper - lower, 0.0) * (1.0 - self.soft_fraction) / 2
        positions = self.joints.positions(state.physics.qpos)
        above = positions - jnp.asarray(upper - margin, positions.dtype)
        below = jnp.asarray(lower + margin, positions.dtype) - positions
        return jnp.sum(jnp.maximum(above, 0.0) + jnp.maximum(below, 0.0)), carry
