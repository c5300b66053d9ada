"""A pole whose terms remember: the episodes of each environment, and how all of them ended."""

import dataclasses

import jax
import jax.numpy as jnp

import ksim
from tests.small_mujoco_task import SmallMujocoTask

NUM_BINS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpisodesSoFar(ksim.Observation):
    """Counts the episodes of its environment, and keeps a bias that was drawn once for it."""

    def init_memory(self, key):
        return {"count": jnp.int32(0), "bias": jax.random.normal(key), "time": jnp.float32(0)}

    def begin(self, memory, run_memory, key):
        del run_memory, key
        return memory

    def after_episode(self, memory, carry, episode):
        del carry
        time = memory["time"] + episode.state.time
        return memory | {"count": memory["count"] + 1, "time": time}

    def __call__(self, state, carry, key):
        return jnp.stack([carry["count"].astype(jnp.float32), carry["bias"]]), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class Endings(ksim.Event):
    """Keeps a histogram of how long all episodes of the run lasted, and why they ended."""

    longest: float = 0.3

    def init_run(self, key):
        del key
        return {
            "num_episodes": jnp.float32(0),
            "by_length": jnp.zeros(NUM_BINS),
            "by_reason": {"moved": jnp.float32(0), "time_out": jnp.float32(0)},
            "from_flags": {"moved": jnp.float32(0), "time_out": jnp.float32(0)},
        }

    def contribute(self, memory, carry, episode):
        del memory, carry
        share = episode.state.time / self.longest
        place = jnp.clip((NUM_BINS * share).astype(jnp.int32), 0, NUM_BINS - 1)
        flags = {name: episode.terminations[name].astype(jnp.float32) for name in self.reasons()}
        return {"by_length": jax.nn.one_hot(place, NUM_BINS), "flags": flags}

    def after_rollout(self, run_memory, sums, progress):
        ended = {name: progress.terminations[name] for name in self.reasons()}
        return {
            "num_episodes": run_memory["num_episodes"] + progress.num_episodes,
            "by_length": run_memory["by_length"] + sums["by_length"],
            "by_reason": jax.tree.map(jnp.add, run_memory["by_reason"], ended),
            "from_flags": jax.tree.map(jnp.add, run_memory["from_flags"], sums["flags"]),
        }

    def begin(self, memory, run_memory, key):
        del memory, key
        return run_memory["by_length"]

    def __call__(self, state, carry, key):
        return jnp.zeros_like(state.physics.qvel), carry

    @staticmethod
    def reasons():
        return ("moved", "time_out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongerIsHarder(ksim.EnvironmentCurriculum):
    """Raises the level of an environment after a time-out, lowers it after a failure."""

    step: float = 0.125

    @property
    def initial_level(self):
        return 0.5

    def next_level(self, level, episode):
        return jnp.clip(level + jnp.where(episode.is_terminated, -self.step, self.step), 0.0, 1.0)


class RememberingTask(SmallMujocoTask):
    """The small pole with the terms above."""

    def get_observations(self, physics_model):
        return super().get_observations(physics_model) | {"episodes": EpisodesSoFar()}

    def get_events(self, physics_model):
        return [*super().get_events(physics_model), Endings()]

    def get_curriculum(self, physics_model):
        return LongerIsHarder()
