"""States, trajectory and statistics of a rollout."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.envs import Environment
from ksim.parallel import environment_keys


@struct.dataclass
class EnvState:
    """Environments between two steps; the leading axis is the global environment id.

    Attributes:
      environment: the environments' own states.
      observations: `[num_envs, ...]` current observations by name.
      is_over: `[num_envs]` whether the episode has ended, so that the next step starts another.
      env_id: `[num_envs]` int32 global ids.
      level: `[num_envs]` curriculum level; one for all, or one for each.
      episode_return: `[num_envs]` sum of rewards in the episode so far.
      episode_length: `[num_envs]` int32 steps in the episode so far.
      model_carry: `[num_envs, ...]` the policy's memory.
      run_memory: `[num_envs, ...]` during a rollout, the memory of the run, the same everywhere;
        `()` between rollouts.
    """

    environment: Any
    observations: dict[str, Array]
    is_over: Bool[Array, "num_envs"]
    env_id: Int[Array, "num_envs"]
    level: Float[Array, "num_envs"]
    episode_return: Float[Array, "num_envs"]
    episode_length: Int[Array, "num_envs"]
    model_carry: Any
    run_memory: Any = ()


@struct.dataclass
class Trajectory:
    """One rollout: arrays `[T, num_envs, ...]`, time first, unless said otherwise.

    An episode that ended in step t has its final observation at t + 1; step t + 1 itself only
    starts the next episode (`is_valid` is false there), so the value of the true final
    observation is simply the next value.

    Attributes:
      observations: observations that the policy acted on, by name.
      kept: arrays that the policy keeps of each step, by name; see `Policy`.
      reward: reward of the step.
      is_terminated: whether the episode failed with this step.
      is_truncated: whether it timed out with this step.
      is_valid: whether this was a step, and not the start of an episode.
      final: `[num_envs, ...]` arrays that the policy keeps after the last step, by name.
      initial_carry: `[num_envs, ...]` the policy's memory before the first step.
      env_id: `[num_envs]` int32 global ids.
    """

    observations: dict[str, Array]
    kept: dict[str, Array]
    reward: Float[Array, "T num_envs"]
    is_terminated: Bool[Array, "T num_envs"]
    is_truncated: Bool[Array, "T num_envs"]
    is_valid: Bool[Array, "T num_envs"]
    final: dict[str, Array]
    initial_carry: Any
    env_id: Int[Array, "num_envs"]

    def parts(self, num_parts: int) -> "Trajectory":
        """Splits a trajectory on the host into equal parts of environments, in order.

        Args:
          num_parts: number of parts, a divisor of the number of environments.

        Returns:
          Arrays `[num_parts, T, num_envs / num_parts, ...]`, or without T as above.
        """

        def split(leaf: Any, axis: int) -> np.ndarray:
            leaf = np.asarray(leaf)
            shape = (*leaf.shape[:axis], num_parts, -1, *leaf.shape[axis + 1 :])
            return np.moveaxis(leaf.reshape(shape), axis, 0)

        of_environments = ("final", "initial_carry", "env_id")
        return Trajectory(
            **{
                name: jax.tree.map(partial(split, axis=int(name not in of_environments)), value)
                for name, value in vars(self).items()
            }
        )


@struct.dataclass
class RolloutStatistics:
    """Sums over the steps and environments of one device, of shape `[1]` unless said otherwise.

    Attributes:
      num_steps: valid steps.
      reward: sum of rewards.
      metrics: sums of the environment's metrics over valid steps, by name.
      num_episodes: episodes that ended.
      episode_return: sum of their returns.
      episode_length: sum of their lengths, steps.
      terminations: number of episodes that ended for each reason, by name.
      contributions: sums of `Timestep.contributions`, `[1, ...]`.
      level: sum of the environments' curriculum levels after the last step.
    """

    num_steps: Float[Array, "1"]
    reward: Float[Array, "1"]
    metrics: dict[str, Array]
    num_episodes: Float[Array, "1"]
    episode_return: Float[Array, "1"]
    episode_length: Float[Array, "1"]
    terminations: dict[str, Array]
    contributions: Any
    level: Float[Array, "1"]

    def parts(self, num_parts: int) -> "RolloutStatistics":
        """Returns `[num_parts, 1, ...]`: the sums in the first part, zeros in the others."""

        def in_the_first(leaf: Any) -> np.ndarray:
            leaf = np.asarray(leaf)[None]
            return np.concatenate([leaf, *[np.zeros_like(leaf)] * (num_parts - 1)])

        return jax.tree.map(in_the_first, self)


def initial_env_state(
    environment: Environment,
    model_carry: Any,
    num_envs: int,
    key: Key[Array, ""] | None = None,
) -> EnvState:
    """Returns environments that each start an episode with their first step.

    Args:
      environment: the environment, one copy.
      model_carry: the policy's memory for one environment.
      num_envs: environments over all devices.
      key: draws the state that outlives episodes (`Environment.first_state`), for each environment
        by its global id; needed only if there is any.

    Returns:
      The state of all environments, in the global layout.

    Raises:
      ValueError: if `key` is needed and not given.
    """

    def repeat(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)
        return jnp.broadcast_to(leaf, (num_envs, *leaf.shape))

    env_id = jnp.arange(num_envs, dtype=jnp.int32)
    if not environment.has_memory:
        first = jax.tree.map(repeat, environment.initial_state())
    elif key is None:
        raise ValueError(
            "initial_env_state: these environments have a memory that is drawn. Give it a key:"
            " initial_env_state(environment, model_carry, num_envs, rng)."
        )
    else:
        # Iterations, counted from 0, are folded into the same key: this number is none of them.
        memory_key = jax.random.fold_in(key, 0xFFFFFFFF)
        first = jax.vmap(environment.first_state)(environment_keys(memory_key, env_id))
    shapes = environment.observation_shapes()
    return EnvState(
        environment=first,
        observations={name: jnp.zeros((num_envs, *shape)) for name, shape in shapes.items()},
        is_over=jnp.ones(num_envs, bool),
        env_id=env_id,
        level=jnp.zeros(num_envs),
        episode_return=jnp.zeros(num_envs),
        episode_length=jnp.zeros(num_envs, jnp.int32),
        model_carry=jax.tree.map(repeat, model_carry),
    )
