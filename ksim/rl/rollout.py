"""Acts in many environments at once."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int, Key

from ksim.envs import Environment, RunContext, Timestep
from ksim.parallel import environment_keys
from ksim.rl.policy import Decision, Policy
from ksim.rl.trajectory import EnvState, RolloutStatistics, Trajectory
from ksim.terms.curricula.base import Curriculum, EpisodeResult
from ksim.xla.joined import Joined


def rollout(
    environment: Environment,
    policy: Policy,
    env_state: EnvState,
    model_carry: Any,
    key: Key[Array, ""],
    num_steps: int,
    curriculum: Curriculum | None = None,
) -> tuple[Trajectory, RolloutStatistics, EnvState, Any]:
    """Steps every environment of one device `num_steps` times.

    Every random number belongs to an environment and a step: the key is folded with the global
    environment id and the step, so that the result does not depend on the device.

    Args:
      environment: the environment, one copy; it is vmapped here.
      policy: the policy that acts.
      env_state: `[num_envs, ...]` the environments.
      model_carry: `[num_envs, ...]` the policy's memories.
      key: the key of this rollout, the same on every device.
      num_steps: steps of each environment.
      curriculum: sets the level of each environment after its episodes if
        `is_per_environment`; others have no effect here.

    Returns:
      The trajectory `[num_steps, num_envs, ...]`, its statistics, and the environments and the
      policy's memories afterwards.
    """
    env_keys = environment_keys(key, env_state.env_id)

    def step(carry: tuple[EnvState, Any], index: Int[Array, ""]) -> tuple[Any, Any]:
        keys = jax.vmap(lambda env_key: jax.random.split(jax.random.fold_in(env_key, index)))(
            env_keys
        )
        (next_state, next_carry), kept, counts, contributions = _step(
            environment, policy, *carry, keys
        )
        if curriculum is not None and curriculum.is_per_environment:
            next_state = _with_next_level(curriculum, carry[0], next_state, kept, environment)
        return (next_state, next_carry), (kept, counts, contributions)

    (last_state, last_carry), (kept, counts, contributions) = lax.scan(
        step, (env_state, model_carry), jnp.arange(num_steps)
    )
    reviewed = policy.review(kept["observations"], model_carry, kept["is_valid"])
    final = jax.vmap(policy.conclude)(last_state.observations, last_carry)
    trajectory = Trajectory(
        **kept | {"kept": kept["kept"] | reviewed},
        final=final,
        initial_carry=model_carry,
        env_id=env_state.env_id,
    )
    of_steps, of_episodes = jax.tree.map(lambda count: jnp.sum(count, axis=(0, 1))[None], counts)
    statistics = RolloutStatistics(
        **of_steps.split(),
        **of_episodes.split(),
        contributions=jax.tree.map(lambda x: jnp.sum(x, axis=0)[None], contributions),
        level=jnp.sum(last_state.level)[None],
    )
    return trajectory, statistics, last_state, last_carry


def act_once(
    environment: Environment,
    policy: Policy,
    state: Any,
    observations: dict[str, Array],
    model_carry: Any,
    is_over: Bool[Array, ""],
    context: RunContext,
    keys: Key[Array, "2"],
) -> tuple[Any, Timestep, Any, Decision]:
    """Acts once in one environment, or starts its next episode.

    Args:
      environment: the environment.
      policy: the policy.
      state: the environment's state.
      observations: its observations by name.
      model_carry: the policy's memory.
      is_over: whether the episode has ended, so that this step starts another.
      context: the run's inputs to the environment.
      keys: keys of the decision and of the environment.

    Returns:
      The environment's next state; its timestep, with at most one of its two flags set; the
      policy's next memory, a new one in a new episode; the policy's decision.
    """
    decision = policy.act(observations, model_carry, keys[0])
    state, timestep = environment.step_or_reset(state, decision.action, keys[1], is_over, context)
    is_truncated = timestep.is_truncated & ~timestep.is_terminated
    timestep = dataclasses.replace(timestep, is_truncated=is_truncated)
    model_carry = jax.tree.map(
        lambda fresh, old: jnp.where(is_over, fresh, old),
        policy.initial_carry(),
        decision.carry,
    )
    return state, timestep, model_carry, decision


def _step(
    environment: Environment,
    policy: Policy,
    env_state: EnvState,
    model_carry: Any,
    keys: Key[Array, "num_envs 2"],
) -> tuple[tuple[EnvState, Any], dict[str, Any], tuple[Joined, Joined], Any]:
    """Acts once in every environment.

    Returns:
      The environments and the policy's memories; the step's part of the trajectory; its part of
      the statistics; and the sum of the environments' contributions to the run's memory.
    """
    environment_state, timestep, next_carry, decision = jax.vmap(
        functools.partial(act_once, environment, policy)
    )(
        env_state.environment,
        env_state.observations,
        model_carry,
        env_state.is_over,
        RunContext(env_state.level, env_state.run_memory),
        keys,
    )
    next_state, counts = _advance(env_state, environment_state, timestep)
    kept = {
        "observations": env_state.observations,
        "kept": decision.kept,
        "reward": timestep.reward,
        "is_terminated": timestep.is_terminated,
        "is_truncated": timestep.is_truncated,
        "is_valid": ~env_state.is_over,
    }
    contributions = jax.tree.map(lambda x: jnp.sum(x, axis=0), timestep.contributions)
    return (next_state, next_carry), kept, counts, contributions


def _with_next_level(
    curriculum: Curriculum,
    before: EnvState,
    after: EnvState,
    kept: dict[str, Any],
    environment: Environment,
) -> EnvState:
    """Sets the levels of environments whose episode has ended with the step."""
    episodes = EpisodeResult(
        length_seconds=after.episode_length * jnp.float32(environment.ctrl_dt),
        episode_return=after.episode_return,
        is_terminated=kept["is_terminated"],
    )
    level = jax.vmap(curriculum.next_level)(before.level, episodes)
    is_over = after.is_over & ~before.is_over
    return dataclasses.replace(after, level=jnp.where(is_over, level, before.level))


def _advance(
    before: EnvState, environment_state: Any, timestep: Timestep
) -> tuple[EnvState, tuple[Joined, Joined]]:
    """Advances the episode counters.

    Returns:
      The environments, and the part of each in `RolloutStatistics`: of the step, and of the
      episode if it has ended.
    """
    is_valid = ~before.is_over
    is_done = timestep.is_terminated | timestep.is_truncated
    episode_return = jnp.where(is_valid, before.episode_return + timestep.reward, 0.0)
    episode_length = jnp.where(is_valid, before.episode_length + 1, 0)
    of_step = {
        "num_steps": jnp.ones_like(is_valid),
        "reward": timestep.reward,
        "metrics": timestep.metrics,
    }
    of_episode = {
        "num_episodes": jnp.ones_like(is_done),
        "episode_return": episode_return,
        "episode_length": episode_length,
        "terminations": timestep.terminations,
    }
    after = dataclasses.replace(
        before,
        environment=environment_state,
        observations=timestep.observations,
        is_over=is_done,
        episode_return=episode_return,
        episode_length=episode_length,
    )
    return after, (_counts(of_step, is_valid), _counts(of_episode, is_done))


def _counts(values: Any, mask: Bool[Array, "num_envs"]) -> Joined:
    """Returns numbers `[num_envs]` with 0 where `mask` does not hold."""
    joined = Joined.of(jax.tree.map(lambda x: x.astype(jnp.float32), values), num_axes=1)
    return jax.tree.map(lambda x: jnp.where(mask[:, None], x, 0), joined)
