"""All terms of a task, and checks that they get along."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ksim.terms.actuators.base import Actuators
from ksim.terms.commands.base import Command
from ksim.terms.events.base import Event
from ksim.terms.observations.base import Observation
from ksim.terms.randomizers.base import Randomizer
from ksim.terms.resets.base import Reset
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Term
from ksim.terms.terminations.base import Termination

DIVERGED = "diverged"
"""The name by which simulations that have diverged are counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MujocoTerms:
    """Terms of a task, by name."""

    actuators: Mapping[str, Actuators]
    observations: Mapping[str, Observation]
    rewards: Mapping[str, Reward]
    terminations: Mapping[str, Termination]
    commands: Mapping[str, Command] = dataclasses.field(default_factory=dict)
    resets: Mapping[str, Reset] = dataclasses.field(default_factory=dict)
    events: Mapping[str, Event] = dataclasses.field(default_factory=dict)
    randomizers: Mapping[str, Randomizer] = dataclasses.field(default_factory=dict)

    def families(self) -> dict[str, Mapping[str, Term]]:
        """Returns every family of terms by its name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def check_terms(terms: MujocoTerms, num_controls: int) -> None:
    """Raises ValueError if a family is empty that must not be, or if terms conflict."""
    if not terms.observations:
        raise ValueError("get_observations() gave no observations: give at least one.")
    if not terms.rewards:
        raise ValueError("get_rewards() gave no rewards: give at least one.")
    for name, reward in terms.rewards.items():
        scale = np.asarray(reward.scale)
        if scale.ndim or not np.issubdtype(scale.dtype, np.number) or not np.isfinite(scale):
            raise ValueError(
                f'The reward "{name}" has scale={reward.scale!r}: a scale must be a finite number.'
                " Write scale=1.0, or scale=-1.0 for a penalty."
            )
    if not any(term.action_size for term in terms.actuators.values()):
        raise ValueError("get_actuators() gave no actuators: a policy would have no action.")
    if DIVERGED in terms.terminations:
        raise ValueError(
            f'A termination cannot be called "{DIVERGED}": simulations that have'
            f' diverged are counted by this name. Write "{DIVERGED}_pose", for instance.'
        )
    driven_by: dict[int, str] = {}
    for name, term in terms.actuators.items():
        for ctrl_id in term.ctrl_ids:
            if not 0 <= ctrl_id < num_controls:
                raise ValueError(
                    f'The actuators "{name}" drive control {ctrl_id}, and the model has'
                    f" {num_controls}. Write ctrl_ids from 0 to {num_controls - 1}."
                )
            if ctrl_id in driven_by:
                raise ValueError(
                    f'The actuators "{driven_by[ctrl_id]}" and "{name}" both drive control'
                    f" {ctrl_id}. Give each the names of joints of its own."
                )
            driven_by[ctrl_id] = name
