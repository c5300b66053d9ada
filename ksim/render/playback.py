"""Plays one environment step by step, to be watched."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ksim.config import ConfigError
from ksim.envs import Environment, RunContext
from ksim.envs.mujoco.environment import MujocoEnvironment
from ksim.reporting.status import OnProgress
from ksim.rl import Policy
from ksim.rl.rollout import act_once

STEPS_AT_ONCE = 25
"""Control steps that are played by one call, between two signs of progress."""


def is_drawn(environment: Environment) -> bool:
    """Returns whether an environment draws pictures of itself; tried on a state of zeros."""
    if isinstance(environment, MujocoEnvironment):
        return False
    return environment.picture(jax.device_get(environment.initial_state())) is not None


def require_mujoco(environment: Environment, run_mode: str) -> MujocoEnvironment:
    """Returns the environment if it has a MuJoCo model to draw.

    Raises:
      ConfigError: if the task's world is not a MuJoCo model.
    """
    if not isinstance(environment, MujocoEnvironment):
        raise ConfigError(
            f"run_mode={run_mode} shows MuJoCo models, and this task's world is a"
            f" {type(environment).__name__}. Write run_mode=evaluate{_instead(environment)}."
        )
    return environment


def _instead(environment: Environment) -> str:
    return ", or run_mode=render" if is_drawn(environment) else ""


def positions(state: Any) -> Array:
    """Returns `qpos` of a state of a MuJoCo world."""
    qpos: Array = state.physics.qpos
    return qpos


def pose(state: Any) -> tuple[Array, Array]:
    """Returns `qpos` and `qvel` of a state of a MuJoCo world."""
    return state.physics.qpos, state.physics.qvel


def stepper(
    environment: Environment,
    policy: Policy,
    context: RunContext,
    seed: int,
    shown_of: Callable[[Any], Any] = pose,
) -> tuple[Callable[[Any], tuple[Any, Any]], Any]:
    """Returns a jitted function that acts once, and the state to start it with.

    The function returns the next state, and what is to be shown of the environment's. An episode
    that has ended is followed by another; the first call only begins one.
    """

    def step(carry: Any) -> tuple[Any, Any]:
        state, observations, model_carry, is_over, key = carry
        keys = jax.random.split(key, 3)
        state, timestep, model_carry, _ = act_once(
            environment,
            policy,
            state,
            observations,
            model_carry,
            is_over,
            context,
            keys[1:],
        )
        is_over = timestep.is_terminated | timestep.is_truncated
        return (state, timestep.observations, model_carry, is_over, keys[0]), shown_of(state)

    key = jax.random.key(seed)
    first = (
        environment.first_state(jax.random.fold_in(key, 0xFFFFFFFF)),
        {name: jnp.zeros(shape) for name, shape in environment.observation_shapes().items()},
        policy.initial_carry(),
        jnp.bool_(True),
        key,
    )
    return jax.jit(step), first


def record(
    environment: Environment,
    policy: Policy,
    context: RunContext,
    seed: int,
    num_steps: int,
    on_progress: OnProgress = lambda share: None,
    shown_of: Callable[[Any], Any] = positions,
) -> Any:
    """Returns what is shown of one environment, `[num_steps, ...]`, beginning with a new episode.

    By default positions, `[num_steps, nq]`.
    """
    step, state = stepper(environment, policy, context, seed, shown_of)
    steps_at_once = min(num_steps, STEPS_AT_ONCE)

    @jax.jit
    def play(state: Any) -> tuple[Any, Any]:
        return jax.lax.scan(lambda state, _: step(state), state, None, steps_at_once)

    parts: list[Any] = []
    for begun in range(0, num_steps, steps_at_once):
        state, shown = play(state)
        parts.append(jax.device_get(shown))
        on_progress(min(1.0, (begun + steps_at_once) / num_steps))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[:num_steps], *parts)
