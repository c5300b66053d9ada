"""Hooks by which a task describes a robot in MuJoCo and its goals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import mujoco

    from ksim.physics import PhysicsEngine, PhysicsModel
    from ksim.terms.actuators.base import Actuators
    from ksim.terms.commands.base import Command
    from ksim.terms.events.base import Event
    from ksim.terms.observations.base import Observation
    from ksim.terms.randomizers.base import Randomizer
    from ksim.terms.resets.base import Reset
    from ksim.terms.rewards.base import Reward
    from ksim.terms.terminations.base import Termination

Term = TypeVar("Term")
Terms = Mapping[str, Term] | Sequence[Term]
"""Result of a hook: terms by name, or a list whose names come from the classes."""


class MujocoHooks(ABC):
    """Describes a robot in MuJoCo: its model, its engine, and the terms of its task.

    Hooks that give terms return a dictionary by name or a list.
    """

    # The robot.

    def get_mujoco_model(self) -> mujoco.MjModel:
        """Returns the compiled MuJoCo model, as `ksim.load_mjcf(path)` does."""
        raise NotImplementedError(
            f"{type(self).__name__} must override get_mujoco_model (with"
            ' `return ksim.load_mjcf("robot.xml")`), or get_environment for a world without MuJoCo.'
        )

    def get_actuators(self, physics_model: PhysicsModel) -> Terms[Actuators] | Actuators:
        """Returns the actuators of the actions; torques on all actuated joints by default."""
        from ksim.terms.actuators.torque import TorqueActuators

        return TorqueActuators.create(physics_model)

    def get_physics_randomizers(self, physics_model: PhysicsModel) -> Terms[Randomizer]:
        """Returns the randomizations of the physics for each episode; none by default."""
        return {}

    # Its goals.

    def get_observations(self, physics_model: PhysicsModel) -> Terms[Observation]:
        """Returns the observations of the policy and the critic."""
        raise NotImplementedError(f"{type(self).__name__} must override get_observations.")

    def get_commands(self, physics_model: PhysicsModel) -> Terms[Command]:
        """Returns the commands to the robot; none by default."""
        return {}

    def get_rewards(self, physics_model: PhysicsModel) -> Terms[Reward]:
        """Returns the summands of the reward."""
        raise NotImplementedError(f"{type(self).__name__} must override get_rewards.")

    def get_terminations(self, physics_model: PhysicsModel) -> Terms[Termination]:
        """Returns the reasons for an episode to end; none by default."""
        return {}

    def get_resets(self, physics_model: PhysicsModel) -> Terms[Reset]:
        """Returns the draws of the initial state; the first keyframe, or `qpos0`, by default."""
        return {}

    def get_events(self, physics_model: PhysicsModel) -> Terms[Event]:
        """Returns the disturbances from outside, such as pushes; none by default."""
        return {}

    # Its engine.

    @abstractmethod
    def get_engine(self, physics_model: PhysicsModel) -> PhysicsEngine:
        """Returns the physics engine."""
