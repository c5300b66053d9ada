"""Joins the observations of an environment to one."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from ksim.envs.environment import RunContext, Timestep, num_features
from ksim.envs.wrapper import Wrapper

JOINED = "observation"


def join_observations(observations: Mapping[str, Array]) -> Array:
    """Returns a single observation as it is; several as one vector, in the order of their names."""
    if len(observations) == 1:
        return next(iter(observations.values()))
    return jnp.concatenate([observations[name].ravel() for name in sorted(observations)])


class JoinedObservations(Wrapper):
    """Shows all observations of an environment as one array, named `observation`.

    A policy then fits any environment with the same number of observed values.
    """

    @property
    def observation_shape(self) -> tuple[int, ...]:
        """The shape of the one observation."""
        shapes = list(self.within.observation_shapes().values())
        return shapes[0] if len(shapes) == 1 else (sum(map(num_features, shapes)),)

    def reset(self, key: Key[Array, ""]) -> tuple[Any, dict[str, Array]]:
        """See `Environment.reset`."""
        state, observations = self.within.reset(key)
        return state, {JOINED: join_observations(observations)}

    def step(self, state: Any, action: Array, key: Key[Array, ""]) -> tuple[Any, Timestep]:
        """See `Environment.step`."""
        state, timestep = self.within.step(state, action, key)
        return state, _joined(timestep)

    def step_or_reset(
        self,
        state: Any,
        action: Array,
        key: Key[Array, ""],
        is_reset: Bool[Array, ""],
        context: RunContext,
    ) -> tuple[Any, Timestep]:
        """See `Environment.step_or_reset`."""
        state, timestep = self.within.step_or_reset(state, action, key, is_reset, context)
        return state, _joined(timestep)

    def observation_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Environment.observation_shapes`."""
        return {JOINED: self.observation_shape}


def _joined(timestep: Timestep) -> Timestep:
    return dataclasses.replace(
        timestep, observations={JOINED: join_observations(timestep.observations)}
    )
