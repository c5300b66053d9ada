"""Wraps an environment in another one that changes a part of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Key

from ksim.envs.environment import ActionSpace, Environment, State
from ksim.physics import PhysicsModel
from ksim.terms.term import TrainingProgress


class Wrapper(Environment):
    """Passes on the properties of the environment within; subclasses write `reset` and `step`.

    They also override `step_or_reset` (the default calls both), `observation_shapes` if their
    observations differ, and `initial_state`, `first_state`, `randomized_physics` and `picture` if
    their state differs.

    Attributes:
      within: the environment within, which may be a wrapper too.
    """

    def __init__(self, environment: Environment) -> None:
        """Takes one copy of an environment."""
        self.within = environment
        self.ctrl_dt = environment.ctrl_dt

    @property
    def unwrapped(self) -> Environment:
        """See `Environment.unwrapped`."""
        return self.within.unwrapped

    @property
    def action_space(self) -> ActionSpace:
        """See `Environment.action_space`."""
        return self.within.action_space

    @property
    def physics_model(self) -> PhysicsModel | None:
        """See `Environment.physics_model`."""
        return self.within.physics_model

    @property
    def physics_description(self) -> str | None:
        """See `Environment.physics_description`."""
        return self.within.physics_description

    @property
    def compiler_options(self) -> Mapping[str, Any]:
        """See `Environment.compiler_options`."""
        return self.within.compiler_options

    def initial_state(self) -> State:
        """See `Environment.initial_state`."""
        return self.within.initial_state()

    @property
    def has_memory(self) -> bool:
        """See `Environment.has_memory`."""
        return self.within.has_memory

    def first_state(self, key: Key[Array, ""]) -> State:
        """See `Environment.first_state`."""
        return self.within.first_state(key)

    def initial_run_memory(self, key: Key[Array, ""]) -> Any:
        """See `Environment.initial_run_memory`."""
        return self.within.initial_run_memory(key)

    def after_rollout(self, run_memory: Any, contributions: Any, progress: TrainingProgress) -> Any:
        """See `Environment.after_rollout`."""
        return self.within.after_rollout(run_memory, contributions, progress)

    def randomized_physics(self, state: State) -> Any:
        """See `Environment.randomized_physics`."""
        return self.within.randomized_physics(state)

    def picture(self, state: State) -> np.ndarray | None:
        """See `Environment.picture`."""
        return self.within.picture(state)

    def observation_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Environment.observation_shapes`."""
        return self.within.observation_shapes()
