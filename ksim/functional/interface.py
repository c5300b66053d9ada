"""Checks the observations and actions of an environment against an agent's."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from ksim.envs import (
    ActionSpace,
    DiscreteActions,
    Environment,
    Timestep,
)
from ksim.functional.joined_observations import JoinedObservations


def joined_environment(
    env: Any, obs_shape: tuple[int, ...] | None, n_actions: int | None
) -> JoinedObservations:
    """Returns the environment as an agent sees it, with one observation.

    Args:
      env: one copy of an environment.
      obs_shape: the expected shape of its observation; `None` for any.
      n_actions: the expected number of choices; `None` for any actions.

    Raises:
      TypeError: if it is not an `Environment`.
      ValueError: if it does not look as expected.
    """
    if not isinstance(env, Environment):
        raise TypeError(f"env must be a ksim.Environment, found {env!r:.80}. {_advice(env)}")
    environment = JoinedObservations(env)
    name = type(env).__name__
    if obs_shape is not None and tuple(obs_shape) != environment.observation_shape:
        raise ValueError(
            f"obs_shape={tuple(obs_shape)}, but the observation of {name} has the shape"
            f" {environment.observation_shape}. Leave obs_shape out, or write"
            f" obs_shape={environment.observation_shape}."
        )
    if n_actions is not None and DiscreteActions(n_actions) != env.action_space:
        raise ValueError(
            f"n_actions={n_actions}, but {name} has {env.action_space}. Leave n_actions out: it is"
            " taken from the environment."
        )
    return environment


def check_kind(name: str, value: Any, kind: type, instead: str) -> None:
    """Checks the class of an argument that has a namesake.

    Raises:
      TypeError: if it is of another class; the message says what to give `instead`.
    """
    if not isinstance(value, kind):
        found = type(value)
        raise TypeError(
            f"{name} must be {instead}, found a {found.__module__}.{found.__qualname__}."
        )


class BlankEnvironment(Environment):
    """Shows zeros for ever, in place of any environment of these shapes."""

    def __init__(self, observation_shape: tuple[int, ...], action_space: ActionSpace) -> None:
        self._shape = tuple(observation_shape)
        self._action_space = action_space

    @property
    def action_space(self) -> ActionSpace:
        """See `Environment.action_space`."""
        return self._action_space

    def reset(self, key: Key[Array, ""]) -> tuple[tuple[()], dict[str, Array]]:
        """See `Environment.reset`."""
        del key
        return (), {"observation": jnp.zeros(self._shape)}

    def step(
        self, state: tuple[()], action: Array, key: Key[Array, ""]
    ) -> tuple[tuple[()], Timestep]:
        """See `Environment.step`."""
        del action
        _, observations = self.reset(key)
        return state, Timestep(observations, jnp.float32(0), jnp.bool_(False), jnp.bool_(False))


def _advice(env: Any) -> str:
    if isinstance(env, type) and issubclass(env, Environment):
        return f"Give an object of the class: {env.__name__}()."
    if isinstance(env, tuple):
        return "Unpack what make returned: env, env_params = make(...)."
    return (
        "Derive a class from ksim.Environment with action_space, reset and step, or take that of a"
        " task: task.build().environment."
    )


@dataclasses.dataclass(frozen=True)
class EnvParams:
    """Name of the environment that was asked of `make`; its numbers are in the environment itself.

    Attributes:
      name: the name of the environment.
    """

    name: str
