"""Rewards for the rhythm of the feet."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import PhysicsModel, check_names
from ksim.terms.parts.checks import check_fraction, check_positive
from ksim.terms.parts.command_values import is_told_to_move
from ksim.terms.parts.feet import Feet, FeetNames
from ksim.terms.parts.gait_clock import leg_phases, resolve_offsets
from ksim.terms.parts.lookup import Names
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleStanceReward(Reward):
    """Rewards standing on one foot while the robot is told to move.

    r = 1 if exactly one foot is in contact and a command is above 0.1, else 0

    Attributes:
      feet: the feet.
      commands: names of commands; with no names the robot is always told to move.
    """

    feet: Feet
    commands: tuple[str, ...] = ("linear_velocity",)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        *,
        commands: Names = ("linear_velocity",),
        min_contact_force: float = 1.0,
        scale: float = 1.0,
    ) -> "SingleStanceReward":
        """Finds the feet. Arguments are the attributes, and names instead of ids.

        For `feet` and `min_contact_force` see `Feet.create`.

        Raises:
          KeyError: if there is no such site or sensor.
          ValueError: if a foot has no sensor, or the force is not positive.
        """
        found = Feet.create(model, feet, cls.__name__, min_contact_force)
        return cls(feet=found, commands=check_names(commands, "command", cls.__name__), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns 1 or 0."""
        is_single = jnp.sum(self.feet.is_in_contact(state.physics)) == 1
        is_moving = is_told_to_move(state, self.commands, type(self).__name__)
        return (is_single & is_moving).astype(state.physics.qpos.dtype), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaitPhaseReward(Reward):
    """Rewards feet that stand and swing in turn, by a clock.

    r = share of feet whose contact agrees with the clock. A foot has the phase
    (t / period + its offset) mod 1 and belongs on the ground while its phase is below
    `stance_fraction`; all feet do while the robot is told to stand.

    Attributes:
      feet: the feet.
      phase_offsets: part of a stride by which each foot is ahead of the clock.
      period: duration of one stride (a step of every foot), s, > 0.
      stance_fraction: part of a stride that a foot is on the ground, in [0, 1].
      commands: names of commands; with no names the robot is always told to move.

    Reference:
      Siekmann et al. 2021, "Sim-to-Real Learning of All Common Bipedal Gaits via Periodic Reward
      Composition", arXiv:2011.01387; here the phases switch at once, without their smoothing.
    """

    feet: Feet
    phase_offsets: tuple[float, ...]
    period: float = 0.8
    stance_fraction: float = 0.6
    commands: tuple[str, ...] = ("linear_velocity",)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        *,
        phase_offsets: Sequence[float] | None = None,
        period: float = 0.8,
        stance_fraction: float = 0.6,
        commands: Names = ("linear_velocity",),
        min_contact_force: float = 1.0,
        scale: float = 1.0,
    ) -> "GaitPhaseReward":
        """Finds the feet. Arguments are the attributes, and names instead of ids.

        For `feet` and `min_contact_force` see `Feet.create`. By default foot i of n is i / n of a
        stride ahead; `(0.0, 0.5, 0.5, 0.0)` is the trot of a quadruped.

        Raises:
          KeyError: if there is no such site or sensor.
          ValueError: if a foot has no sensor, a foot has no offset, or a number is out of bounds.
        """
        found = Feet.create(model, feet, cls.__name__, min_contact_force)
        return cls(
            feet=found,
            phase_offsets=resolve_offsets(phase_offsets, len(found), cls.__name__),
            period=period,
            stance_fraction=stance_fraction,
            commands=check_names(commands, "command", cls.__name__),
            scale=scale,
        )

    def __post_init__(self) -> None:
        check_positive(self, "period", 0.8)
        check_fraction(self, "stance_fraction", 0.6)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the share, in [0, 1]."""
        is_in_contact = self.feet.is_in_contact(state.physics)
        phases = leg_phases(state, self.period, self.phase_offsets)
        is_moving = is_told_to_move(state, self.commands, type(self).__name__)
        is_stance_due = (phases < self.stance_fraction) | ~is_moving
        return jnp.mean(is_in_contact == is_stance_due), carry
