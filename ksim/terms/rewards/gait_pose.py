"""A reward for legs that swing in turn."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import JointSelection, PhysicsModel, check_names
from ksim.terms.parts.checks import check_fraction, check_positive
from ksim.terms.parts.command_values import is_told_to_move
from ksim.terms.parts.gait_clock import leg_phases, resolve_offsets
from ksim.terms.parts.joint_values import Pose, match_joints, resolve_pose
from ksim.terms.parts.lookup import Names
from ksim.terms.rewards.base import Reward, squared_exponential
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaitPoseReward(Reward):
    """Rewards legs that bend and stretch in turn, by the clock of `GaitPhaseReward`.

    r = exp(-|q - q_clock|^2 / sigma^2), with q_clock = q_default + sum_i sin^2(pi s_i) offsets_i.
    A leg has the phase (t / period + its offset) mod 1, and s_i runs from 0 to 1 while its phase
    runs from `stance_fraction` to 1. While the robot is told to stand, q_clock = q_default. It
    shows a step to a robot that has never made one.

    Attributes:
      joints: the joints of the legs.
      default_positions: the pose they swing about, rad.
      swing_offsets: for each leg, in the order of the feet in `GaitPhaseReward`, the
        displacement of each joint from that pose in the middle of the swing, rad.
      phase_offsets: part of a stride by which each leg is ahead of the clock.
      period: duration of one stride (a step of every leg), s, > 0.
      stance_fraction: part of a stride that a leg is on the ground, in [0, 1).
      sigma: deviation at which the reward has fallen to 1 / e, rad, > 0.
      commands: names of commands; with no names the robot is always told to move.
    """

    joints: JointSelection
    default_positions: tuple[float, ...]
    swing_offsets: tuple[tuple[float, ...], ...]
    phase_offsets: tuple[float, ...]
    period: float = 0.8
    stance_fraction: float = 0.6
    sigma: float = 0.5
    commands: tuple[str, ...] = ("linear_velocity",)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        swing_offsets: Sequence[Mapping[str, float]],
        *,
        default_positions: Pose = None,
        phase_offsets: Sequence[float] | None = None,
        period: float = 0.8,
        stance_fraction: float = 0.6,
        sigma: float = 0.5,
        commands: Names = ("linear_velocity",),
        scale: float = 1.0,
    ) -> "GaitPoseReward":
        """Finds the joints. Arguments are the attributes, and names instead of ids.

        `swing_offsets` are by joint name or pattern; joints that no leg names are left out. For
        `default_positions` see `Pose`, for the default of `phase_offsets` see
        `GaitPhaseReward.create`.

        Raises:
          KeyError: if a joint or the keyframe does not exist.
          ValueError: if there is no leg, or a number is out of bounds.
        """
        names = tuple(dict.fromkeys(name for leg in swing_offsets for name in leg))
        if not names:
            raise ValueError(
                f"{cls.__name__}(swing_offsets={list(swing_offsets)}): give the joints of each leg,"
                ' as in [{"left_knee": 0.6}, {"right_knee": 0.6}].'
            )
        joints = model.joints.select(names, cls.__name__)
        legs = [
            match_joints(leg, joints.names, cls.__name__, "swing_offsets") for leg in swing_offsets
        ]
        return cls(
            joints=joints,
            default_positions=resolve_pose(model, joints, default_positions, cls.__name__),
            swing_offsets=tuple(tuple(leg.get(name, 0.0) for name in joints.names) for leg in legs),
            phase_offsets=resolve_offsets(phase_offsets, len(swing_offsets), cls.__name__),
            period=period,
            stance_fraction=stance_fraction,
            sigma=sigma,
            commands=check_names(commands, "command", cls.__name__),
            scale=scale,
        )

    def __post_init__(self) -> None:
        check_positive(self, "period", 0.8)
        check_positive(self, "sigma", 0.5)
        check_fraction(self, "stance_fraction", 0.6)
        if self.stance_fraction == 1:
            raise ValueError(
                f"{type(self).__name__}(stance_fraction=1): no leg would ever swing."
                " Write stance_fraction=0.6, for instance."
            )

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the closeness of the legs to the clock's pose, in [0, 1]."""
        positions = self.joints.positions(state.physics.qpos)
        phases = leg_phases(state, self.period, self.phase_offsets)
        swing = jnp.clip((phases - self.stance_fraction) / (1 - self.stance_fraction), 0.0, 1.0)
        is_moving = is_told_to_move(state, self.commands, type(self).__name__)
        height = jnp.where(is_moving, jnp.square(jnp.sin(jnp.pi * swing)), 0.0)
        clock = jnp.asarray(self.default_positions) + height @ jnp.asarray(self.swing_offsets)
        squared_error = jnp.sum(jnp.square(positions - clock))
        return squared_exponential(squared_error, self.sigma), carry
