import contextlib

import numpy as np
import pytest

from ksim import CartPole
from ksim.config import ConfigError
from ksim.envs import hardest
from ksim.render import viewer
from ksim.rl import ActorCriticPolicy
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

# What these tests do not read.
POLICY = ActorCriticPolicy(None, None, np.array(True))
CONTEXT = hardest()


class Window(contextlib.AbstractContextManager):
    """Stands for MuJoCo's window: closes itself after three frames, and keeps what it showed."""

    def __init__(self, model, data):
        self.data, self.shown = data, []

    def __exit__(self, *exception):
        return None

    def is_running(self):
        return len(self.shown) < 3

    def sync(self):
        self.shown.append(self.data.qpos.copy())


def test_shows_every_state_until_the_window_is_closed(monkeypatch):
    environment = SmallMujocoTask(SmallMujocoConfig(num_devices=1)).environment
    states = iter(range(1, 9))

    def step(state):
        value = float(next(states))
        nq, nv = environment.model.mj_model.nq, environment.model.mj_model.nv
        return state, (np.full(nq, value), np.zeros(nv))

    monkeypatch.setattr(viewer, "stepper", lambda *arguments: (step, None))
    windows = []

    def open_window(model, data):
        windows.append(Window(model, data))
        return windows[0]

    viewer.view_policy(environment, POLICY, CONTEXT, seed=0, open_window=open_window)
    assert [qpos[0] for qpos in windows[0].shown] == [2.0, 3.0, 4.0]


def test_a_world_without_mujoco_is_refused():
    with pytest.raises(ConfigError, match=r"run_mode=view shows MuJoCo models"):
        viewer.view_policy(CartPole(), POLICY, CONTEXT, seed=0)


def test_no_display_is_said(monkeypatch):
    monkeypatch.setattr(viewer.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigError, match=r"needs a display.*Write run_mode=render for a film"):
        viewer._window_opener()
