"""Makes what terms are called with: a robot in a random state, and statistics of a run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Array

from ksim.physics import EpisodeStart, NamedFields, PhysicsModel
from ksim.physics.engines.default_data import DefaultData
from ksim.terms.curricula.base import EpisodeResult
from ksim.terms.term import EpisodeEnd, StepState, TrainingProgress


class World(NamedTuple):
    """Everything that terms are called with, of one environment.

    Attributes:
      state: its readings after a step.
      fields: its model fields, by MuJoCo's name.
      progress: statistics of an iteration.
      end: the outcome of an episode that ended in this state.
    """

    state: StepState
    fields: dict[str, Array]
    progress: TrainingProgress
    end: EpisodeEnd

    @property
    def start(self) -> EpisodeStart:
        """A state in which an episode may begin."""
        return EpisodeStart(qpos=self.state.physics.qpos, qvel=self.state.physics.qvel)

    @property
    def result(self) -> EpisodeResult:
        """The outcome of the episode, as curricula of environments get it."""
        return EpisodeResult(self.end.state.time, self.end.episode_return, self.end.is_terminated)


def make_world(
    model: PhysicsModel,
    commands: Mapping[str, int],
    terminations: Sequence[str],
    action_size: int,
    fields: Sequence[str],
    random: np.random.Generator,
) -> World:
    """Returns what terms are called with, of a robot in a random state.

    Args:
      model: the robot.
      commands: numbers of each command, by name.
      terminations: names of the reasons for which episodes end.
      action_size: numbers in an action.
      fields: names of model fields.
      random: draws everything.
    """
    mj_model = model.mj_model
    state = StepState(
        physics=_physics(mj_model, random),
        action=_as_jax(3.0 * random.normal(size=action_size)),
        previous_action=_as_jax(random.normal(size=action_size)),
        commands={name: _as_jax(random.normal(size=size)) for name, size in commands.items()},
        time=_as_jax(random.uniform(0.0, 0.1)),
        level=_as_jax(random.uniform()),
    )
    progress = TrainingProgress(
        iteration=_as_jax(random.integers(20)),
        num_episodes=_as_jax(3.0),
        mean_episode_length_seconds=_as_jax(random.uniform(0.0, 4.0)),
        mean_episode_return=_as_jax(1.0),
        terminations={name: _as_jax(1.0) for name in terminations},
        mean_level=_as_jax(random.uniform()),
    )
    is_terminated = random.uniform() < 0.5
    end = EpisodeEnd(
        state=state,
        is_terminated=jnp.bool_(is_terminated),
        is_truncated=jnp.bool_(not is_terminated),
        terminations={name: jnp.bool_(random.uniform() < 0.5) for name in terminations},
        episode_return=_as_jax(random.normal()),
    )
    model_fields = {name: _as_jax(getattr(mj_model, name)) for name in fields}
    return World(state, model_fields, progress, end)


def stack(trees: Sequence[Any]) -> Any:
    """Returns trees of one environment each as a tree of all of them."""
    return jax.tree.map(lambda *rows: jnp.stack(list(map(jnp.asarray, rows))), *trees)


def _physics(mj_model: mujoco.MjModel, random: np.random.Generator) -> NamedFields:
    """Returns every field of a fixed size, about the first keyframe or `qpos0`."""
    data = mujoco.MjData(mj_model)
    if mj_model.nkey:
        data.qpos[:] = mj_model.key_qpos[0]
    mujoco.mj_integratePos(mj_model, data.qpos, 0.3 * random.normal(size=mj_model.nv), 1.0)
    data.qvel[:] = random.normal(size=mj_model.nv)
    data.ctrl[:] = 100.0 * random.normal(size=mj_model.nu)
    mujoco.mj_forward(mj_model, data)
    return NamedFields(  # type: ignore[abstract]
        {
            name: _as_jax(np.reshape(getattr(data, name), like.shape))
            for name, like in DefaultData(mj_model).fields.items()
        }
    )


def _as_jax(value: Any) -> Array:
    value = np.asarray(value)
    is_real = np.issubdtype(value.dtype, np.floating)
    return jnp.array(value, jnp.float32 if is_real else jnp.int32)
