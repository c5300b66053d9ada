"""Builds the MuJoCo environment of a task's hooks."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import mujoco

from ksim.config.concerns import PhysicsConfig
from ksim.envs.mujoco.environment import MujocoEnvironment
from ksim.envs.mujoco.terms import MujocoTerms
from ksim.physics import PhysicsEngine, PhysicsModel, find_unstable_joints
from ksim.task.mujoco_hooks import MujocoHooks
from ksim.terms.actuators.base import Actuators
from ksim.terms.commands.base import Command
from ksim.terms.events.base import Event
from ksim.terms.observations.base import Observation
from ksim.terms.randomizers.base import Randomizer
from ksim.terms.resets.base import Reset
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Term, name_terms
from ksim.terms.terminations.base import Termination


def build_mujoco_environment(
    hooks: MujocoHooks, config: PhysicsConfig
) -> tuple[MujocoEnvironment, dict[str, str]]:
    """Calls hooks and builds an environment of their results.

    Args:
      hooks: hooks that describe the robot.
      config: options of the time steps and the solver.

    Returns:
      The environment, and notes: why an option may need another value.

    Raises:
      ValueError, TypeError, KeyError: if the result of a hook does not fit the model.
    """
    mj_model = hooks.get_mujoco_model()
    if not isinstance(mj_model, mujoco.MjModel):
        raise TypeError(
            f"{_hook(hooks, 'get_mujoco_model')} returned {_describe(mj_model)}, and a"
            ' mujoco.MjModel is needed. Write `return ksim.load_mjcf("robot.xml")`, or'
            " `return spec.compile()` for a mujoco.MjSpec."
        )
    notes = []
    # Its own: options and servos are written into it, and a hook may give the same one again.
    mj_model = copy.copy(mj_model)
    if abs(mj_model.opt.timestep - config.dt) > 1e-9:
        notes.append(f"the model's own time step would be {mj_model.opt.timestep:g} s.")
    model = PhysicsModel.create(
        mj_model,
        dt=config.dt,
        ctrl_dt=config.ctrl_dt,
        iterations=config.iterations,
        ls_iterations=config.ls_iterations,
    )
    actuators = _terms(hooks, "get_actuators", model, Actuators)
    for term in actuators.values():
        term.configure(model.mj_model)
    if unstable := find_unstable_joints(mj_model):
        more = f" and {len(unstable) - 3} more" if len(unstable) > 3 else ""
        notes.append(
            f"This is too long for the servos of {', '.join(unstable[:3])}{more}, which will shake"
            " ever harder. Lower kp or kd, give these joints an armature, or write a smaller dt."
        )
    terms = MujocoTerms(
        actuators=actuators,
        observations=_terms(hooks, "get_observations", model, Observation),
        rewards=_terms(hooks, "get_rewards", model, Reward),
        terminations=_terms(hooks, "get_terminations", model, Termination),
        commands=_terms(hooks, "get_commands", model, Command),
        resets=_terms(hooks, "get_resets", model, Reset),
        events=_terms(hooks, "get_events", model, Event),
        randomizers=_terms(hooks, "get_physics_randomizers", model, Randomizer),
    )
    environment = MujocoEnvironment(model, _engine(hooks, model), terms)
    return environment, {"dt": " ".join(notes)} if notes else {}


def _engine(hooks: MujocoHooks, model: PhysicsModel) -> PhysicsEngine:
    """Returns the engine of the hook.

    Raises:
      ValueError: if MJX lacks a feature of the model.
    """
    try:
        return hooks.get_engine(model)
    except NotImplementedError as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"MJX cannot step this model: {reason}. Write engine=mujoco, or leave it out of the"
            " MJCF."
        ) from error


def _terms(
    hooks: MujocoHooks, name: str, model: PhysicsModel, family: type[Term]
) -> dict[str, Any]:
    """Calls a hook and returns its terms by name.

    Raises:
      TypeError: if it returns something else.
    """
    terms = getattr(hooks, name)(model)
    if not isinstance(terms, (Mapping, Sequence, Term)) or isinstance(terms, str):
        raise TypeError(
            f"{_hook(hooks, name)} returned {_describe(terms)}, and a dictionary or a list of"
            f" {family.__name__} terms is needed. Write `return {{...}}`."
        )
    return name_terms(terms, family)


def _hook(hooks: MujocoHooks, name: str) -> str:
    return f"{type(hooks).__name__}.{name}"


def _describe(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
