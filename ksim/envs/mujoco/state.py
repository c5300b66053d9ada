"""State of a MuJoCo environment, and the record of its episode."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Int

from ksim.envs.environment import Timestep
from ksim.envs.mujoco.term_memories import Carries
from ksim.physics import ModelFields, PhysicsData
from ksim.terms.term import EpisodeEnd, StepState


@struct.dataclass
class EpisodeRecord:
    """Record of an episode for terms that remember it.

    Attributes:
      is_terminated: `[]` true if its last step was a failure.
      is_truncated: `[]` true if its last step was a time-out.
      terminations: `[]` flags of its last step, by name.
      episode_return: `[]` sum of its rewards.
    """

    is_terminated: Bool[Array, ""]
    is_truncated: Bool[Array, ""]
    terminations: dict[str, Array]
    episode_return: Float[Array, ""]


@struct.dataclass
class MujocoState:
    """One environment between two steps.

    Attributes:
      physics: the simulation.
      model_fields: this environment's randomized model fields, by MuJoCo's name.
      carries: the terms' memories of the episode, by family and name.
      action: `[action_size]` the last action.
      previous_action: `[action_size]` the one before.
      commands: the commands for the next step, by name.
      num_steps: `[]` int32 control steps since the episode began.
      memories: the terms' memories that outlive episodes, by family and name.
      record: the record of the episode so far; `None` where no term has such a memory.
    """

    physics: PhysicsData
    model_fields: ModelFields
    carries: Carries
    action: Float[Array, "action_size"]
    previous_action: Float[Array, "action_size"]
    commands: dict[str, Array]
    num_steps: Int[Array, ""]
    memories: Carries
    record: EpisodeRecord | None


def step_state(state: MujocoState, level: Float[Array, ""], ctrl_dt: float) -> StepState:
    """Returns the readings of an environment for its terms."""
    return StepState(
        physics=state.physics,
        action=state.action,
        previous_action=state.previous_action,
        commands=state.commands,
        time=state.num_steps * jnp.float32(ctrl_dt),
        level=level,
    )


def episode_end(
    state: MujocoState, record: EpisodeRecord, level: Float[Array, ""], ctrl_dt: float
) -> EpisodeEnd:
    """Returns the outcome of the episode that ends with `state`."""
    return EpisodeEnd(
        state=step_state(state, level, ctrl_dt),
        is_terminated=record.is_terminated,
        is_truncated=record.is_truncated,
        terminations=record.terminations,
        episode_return=record.episode_return,
    )


def new_record(terminations: dict[str, Any]) -> EpisodeRecord:
    """Returns the record before the first step; `terminations` are flags by name, for shapes."""
    no_flags = jax.tree.map(jnp.zeros_like, terminations)
    return EpisodeRecord(jnp.bool_(False), jnp.bool_(False), no_flags, jnp.float32(0))


def record_after(
    record: EpisodeRecord | None, timestep: Timestep, is_reset: Bool[Array, ""]
) -> EpisodeRecord | None:
    """Returns the record after a step, or of the episode that begins with it; `None` for `None`."""
    if record is None:
        return None
    return EpisodeRecord(
        is_terminated=timestep.is_terminated,
        is_truncated=timestep.is_truncated & ~timestep.is_terminated,
        terminations=timestep.terminations,
        episode_return=jnp.where(is_reset, 0.0, record.episode_return + timestep.reward),
    )
