"""Shows a policy in MuJoCo's interactive window."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ksim.config import ConfigError
from ksim.envs import Environment, RunContext
from ksim.render.playback import require_mujoco, stepper
from ksim.rl import Policy


def view_policy(
    environment: Environment,
    policy: Policy,
    context: RunContext,
    seed: int,
    open_window: Callable[[Any, Any], Any] | None = None,
) -> None:
    """Shows one environment in real time, until the window is closed.

    Args:
      environment: the world, one copy.
      policy: the policy that acts.
      context: level and memory of the run.
      seed: seed of the episodes shown.
      open_window: opens the window, given model and data; `mujoco.viewer.launch_passive` if `None`.

    Raises:
      ConfigError: if the task is not MuJoCo's, or there is no display.
    """
    environment = require_mujoco(environment, "view")
    if open_window is None:
        open_window = _window_opener()
    import mujoco

    mj_model = environment.model.mj_model
    mj_data = mujoco.MjData(mj_model)
    print("Compiling one environment (about half a minute for a humanoid) ...", flush=True)
    step, state = stepper(environment, policy, context, seed)
    state, _ = step(state)  # compiles; the first call only begins an episode
    with open_window(mj_model, mj_data) as window:
        while window.is_running():
            began = time.monotonic()
            state, (qpos, qvel) = step(state)
            mj_data.qpos[:], mj_data.qvel[:] = qpos, qvel
            mujoco.mj_forward(mj_model, mj_data)
            window.sync()
            time.sleep(max(0.0, environment.ctrl_dt - (time.monotonic() - began)))


def _window_opener() -> Callable[[Any, Any], Any]:
    """Returns the function that opens MuJoCo's window.

    Raises:
      ConfigError: if there is no display to open it on.
    """
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not has_display:
        raise ConfigError(
            "run_mode=view needs a display, and there is none (DISPLAY is not set)."
            " Write run_mode=render for a film, or run it where there is a screen."
        )
    import mujoco.viewer

    opener: Callable[[Any, Any], Any] = mujoco.viewer.launch_passive
    return opener
