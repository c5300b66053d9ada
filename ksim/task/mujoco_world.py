"""From a task's hooks to a robot in MuJoCo."""

from typing import Any

from ksim.envs import MujocoEnvironment, MujocoTerms
from ksim.physics import PhysicsModel
from ksim.terms import (
    Actuators,
    Command,
    Event,
    Observation,
    Randomizer,
    Reset,
    Reward,
    Termination,
    name_terms,
)


def build_mujoco_environment(task: Any) -> MujocoEnvironment:
    """Calls the hooks of an `RLTask` and puts an environment together.

    Raises:
      ValueError, TypeError, KeyError: if a hook gives something that does not fit the model.
    """
    config = task.config
    model = PhysicsModel.create(
        task.get_mujoco_model(),
        dt=config.dt,
        ctrl_dt=config.ctrl_dt,
        iterations=config.iterations,
        ls_iterations=config.ls_iterations,
    )
    actuators = name_terms(task.get_actuators(model), Actuators)
    for term in actuators.values():
        term.configure(model.mj_model)
    terms = MujocoTerms(
        actuators=actuators,
        observations=name_terms(task.get_observations(model), Observation),
        rewards=name_terms(task.get_rewards(model), Reward),
        terminations=name_terms(task.get_terminations(model), Termination),
        commands=name_terms(task.get_commands(model), Command),
        resets=name_terms(task.get_resets(model), Reset),
        events=name_terms(task.get_events(model), Event),
        randomizers=name_terms(task.get_physics_randomizers(model), Randomizer),
    )
    try:
        engine = task.get_engine(model)
    except NotImplementedError as error:
        raise ValueError(
            f"MJX cannot step this model: {error} Write engine=mujoco, or leave it out of the MJCF."
        ) from error
    return MujocoEnvironment(model, engine, terms)
