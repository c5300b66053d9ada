"""A policy in MuJoCo's interactive window."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ksim.config import ConfigError
from ksim.envs import Environment, MujocoEnvironment
from ksim.rl import Policy


def view_policy(
    environment: Environment,
    policy: Policy,
    level: Float[Array | np.ndarray, ""],
    seed: int,
    open_window: Callable[[Any, Any], Any] | None = None,
) -> None:
    """Shows one environment in real time, until the window is closed.

    Args:
      environment: the world, one copy.
      policy: what acts.
      level: `[]` curriculum level.
      seed: of the episodes shown.
      open_window: opens the window, given model and data; `mujoco.viewer.launch_passive` if `None`.

    Raises:
      ConfigError: if the task is not MuJoCo's, or there is no display.
    """
    if not isinstance(environment, MujocoEnvironment):
        raise ConfigError(
            "run_mode=view shows MuJoCo models, and this task's world is a"
            f" {type(environment).__name__}. Write run_mode=evaluate."
        )
    if open_window is None:
        open_window = _window_opener()
    import mujoco

    mj_model = environment.model.mj_model
    mj_data = mujoco.MjData(mj_model)
    print("Compiling one environment (about half a minute for a humanoid) ...", flush=True)
    step, state = stepper(environment, policy, level, seed)
    with open_window(mj_model, mj_data) as window:
        while window.is_running():
            began = time.monotonic()
            state, (qpos, qvel) = step(state)
            mj_data.qpos[:], mj_data.qvel[:] = qpos, qvel
            mujoco.mj_forward(mj_model, mj_data)
            window.sync()
            time.sleep(max(0.0, environment.ctrl_dt - (time.monotonic() - began)))


def stepper(
    environment: MujocoEnvironment,
    policy: Policy,
    level: Float[Array | np.ndarray, ""],
    seed: int,
) -> tuple[Callable[[Any], tuple[Any, tuple[Any, Any]]], Any]:
    """Returns a compiled function that acts once, and the state to start it with.

    The function returns the next state, and `qpos` and `qvel` to show. An episode that has ended
    is followed by another.
    """

    def step(carry: Any) -> tuple[Any, tuple[Any, Any]]:
        state, observations, model_carry, is_over, key = carry
        key, act_key, step_key = jax.random.split(key, 3)
        decision = policy.act(observations, model_carry, act_key)
        state, timestep = environment.step_or_reset(
            state, decision.action, step_key, is_over, jnp.asarray(level)
        )
        model_carry = jax.tree.map(
            lambda fresh, old: jnp.where(is_over, fresh, old),
            policy.model.initial_carry(),
            decision.carry,
        )
        is_over = timestep.is_terminated | timestep.is_truncated
        shown = (state.physics.qpos, state.physics.qvel)
        return (state, timestep.observations, model_carry, is_over, key), shown

    first = (
        environment.initial_state(),
        {name: jnp.zeros(shape) for name, shape in environment.observation_shapes().items()},
        policy.model.initial_carry(),
        jnp.bool_(True),
        jax.random.key(seed),
    )
    compiled = jax.jit(step)
    return compiled, compiled(first)[0]


def _window_opener() -> Callable[[Any, Any], Any]:
    """Returns what opens MuJoCo's window.

    Raises:
      ConfigError: if there is no display to open it on.
    """
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not has_display:
        raise ConfigError(
            "run_mode=view needs a display, and there is none (DISPLAY is not set)."
            " Write run_mode=evaluate, or run it where there is a screen."
        )
    import mujoco.viewer

    opener: Callable[[Any, Any], Any] = mujoco.viewer.launch_passive
    return opener
