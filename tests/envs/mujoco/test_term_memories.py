"""What terms hand from one episode to the next, step by step in one environment."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim.envs import RunContext
from ksim.envs.auto_reset import AutoResetWrapper
from tests.remembering_task import EpisodesSoFar, RememberingTask
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask


def make_environment(**terms):
    class Task(SmallMujocoTask):
        def get_observations(self, physics_model):
            return terms.get("observations", {"episodes": EpisodesSoFar()})

        def get_terminations(self, physics_model):
            return [ksim.TimeOutTermination(0.04)]  # two steps

    return Task(SmallMujocoConfig(num_devices=1, engine="mujoco")).environment


def roll(environment, num_steps, memory=()):
    """Steps one environment and resets it where an episode has ended; returns the counts seen."""
    step = jax.jit(environment.step_or_reset)
    state = environment.first_state(jax.random.key(3))
    is_over, seen = jnp.bool_(True), []
    for index in range(num_steps):
        key = jax.random.fold_in(jax.random.key(0), index)
        context = RunContext(jnp.float32(1), memory)
        state, timestep = step(state, jnp.zeros(1), key, is_over, context)
        is_over = timestep.is_terminated | timestep.is_truncated
        seen.append(np.asarray(timestep.observations["episodes"]))
    return state, np.stack(seen)


def test_a_reset_hands_the_memory_on():
    state, seen = roll(make_environment(), 9)
    # A start, two steps, and again: the start takes in the episode before it, if there was one.
    assert seen[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert len(np.unique(seen[:, 1])) == 1  # the bias was drawn once
    assert float(state.memories["observations"]["episodes"]["time"]) == pytest.approx(0.08)


def test_an_episode_ends_with_its_record():
    returns = []

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Returns(EpisodesSoFar):
        """Remembers the return and the reason of the last episode, in place of counts."""

        def after_episode(self, memory, carry, episode):
            assert episode.terminations.keys() == {"time_out", "diverged"}
            is_as_told = episode.is_truncated & ~episode.is_terminated
            is_as_told &= episode.terminations["time_out"] & ~episode.terminations["diverged"]
            return memory | {
                "time": episode.episode_return,
                "count": is_as_told.astype(jnp.int32),
            }

    environment = make_environment(observations={"episodes": Returns()})
    step = jax.jit(environment.step_or_reset)
    state, is_over = environment.first_state(jax.random.key(3)), jnp.bool_(True)
    for index in range(7):
        key = jax.random.fold_in(jax.random.key(0), index)
        state, timestep = step(state, jnp.zeros(1), key, is_over, RunContext(jnp.float32(1)))
        is_over = timestep.is_truncated
        returns.append(float(timestep.reward))
    memory = state.memories["observations"]["episodes"]
    # Steps 4 and 5 were the last episode that ended.
    assert float(memory["time"]) == pytest.approx(returns[4] + returns[5])
    assert int(memory["count"]) == 1


def test_a_memory_of_the_run_reaches_every_episode():
    task = RememberingTask(SmallMujocoConfig(num_devices=1, engine="mujoco"))
    environment = task.environment
    memory = environment.initial_run_memory(jax.random.key(0))
    memory["events"]["endings"]["by_length"] = jnp.arange(4.0)
    state, _ = roll(environment, 1, memory)
    np.testing.assert_array_equal(state.carries["events"]["endings"], np.arange(4.0))


def test_without_memory_nothing_is_carried():
    environment = SmallMujocoTask(SmallMujocoConfig(num_devices=1, engine="mujoco")).environment
    assert not environment.has_memory
    assert environment.initial_run_memory(jax.random.key(0)) == ()
    state = environment.initial_state()
    assert state.record is None
    assert not jax.tree.leaves(state.memories)


def test_wrappers_hand_memories_through():
    environment = make_environment()
    wrapped = AutoResetWrapper(environment)
    assert wrapped.has_memory
    bias = environment.first_state(jax.random.key(3)).memories["observations"]["episodes"]["bias"]
    inner = wrapped.first_state(jax.random.key(3)).environment
    assert inner.memories["observations"]["episodes"]["bias"] == bias


def test_a_memory_keeps_its_types():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Grows(EpisodesSoFar):
        def after_episode(self, memory, carry, episode):
            return memory | {"count": memory["count"] + 0.5}

    with pytest.raises(
        TypeError,
        match=r'after_episode of the observation "episodes" \(Grows\).*float32\[\].*int32',
    ):
        make_environment(observations={"episodes": Grows()})


def test_a_key_is_needed_where_a_memory_is_drawn():
    with pytest.raises(ValueError, match=r"initial_env_state\(environment, model_carry"):
        ksim.rl.initial_env_state(make_environment(), (), 4)
