"""Runs episodes of the deterministic policy, by the training program itself."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ksim.config.concerns import TrainingConfig
from ksim.reporting.status import OnProgress
from ksim.training.metrics import Metrics
from ksim.training.program import EVALUATE, Program


@dataclasses.dataclass(frozen=True)
class Episodes:
    """The first episode of every environment; arrays `[T, num_envs, ...]`, time first, on the host.

    Attributes:
      observations: requested observations before each step, noise included, by name.
      reward: reward of each step.
      is_counted: whether the step belongs to the environment's first episode.
      is_terminated: whether that episode failed with this step.
      ctrl_dt: time between two steps, s.
    """

    observations: dict[str, np.ndarray]
    reward: np.ndarray
    is_counted: np.ndarray
    is_terminated: np.ndarray
    ctrl_dt: float

    @property
    def length(self) -> np.ndarray:
        """`[num_envs]` counted steps of each episode."""
        return np.sum(self.is_counted, axis=0)

    @property
    def has_failed(self) -> np.ndarray:
        """`[num_envs]` whether each episode ended by a failure."""
        return np.any(self.is_terminated, axis=0)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Returns the mean `[num_envs, ...]` of values `[T, num_envs, ...]` over each episode."""
        is_counted = self.is_counted.reshape(self.is_counted.shape + (1,) * (values.ndim - 2))
        total = np.sum(np.where(is_counted, values, 0.0), axis=0, dtype=np.float64)
        length = self.length.reshape(self.length.shape + (1,) * (values.ndim - 2))
        return total / np.maximum(length, 1)

    def metrics(self) -> Metrics:
        """Returns the metrics to log of an evaluation."""
        returns = self.length * self.mean(self.reward)
        return {
            "eval/episode/return": float(np.mean(returns)),
            "eval/episode/return_std": float(np.std(returns)),
            "eval/episode/length": float(np.mean(self.length)),
            "eval/share_failed": float(np.mean(self.has_failed)),
        }


LONGEST_BY_DEFAULT = 10.0  # simulated s


def evaluation_seconds(config: TrainingConfig, program: Program) -> float:
    """Returns the length of an evaluation, simulated s.

    Unless `eval_length_seconds` gives it, that is 10 s, or the time of `max_steps` rollouts if it
    is shorter: a short run is not evaluated for longer than it trains.
    """
    if config.eval_length_seconds is not None:
        return config.eval_length_seconds
    if config.max_steps is None:
        return LONGEST_BY_DEFAULT
    # The first step only begins an episode.
    num_steps = max(1, config.max_steps * program.rollout_length - 1)
    return min(LONGEST_BY_DEFAULT, num_steps * program.environment.ctrl_dt)


def run_episodes(
    program: Program,
    rollout: Callable[..., Any],
    train_state: Any,
    iteration: int,
    seed: int,
    length_seconds: float,
    observations: Sequence[str] = (),
    on_progress: OnProgress = lambda share: None,
) -> Episodes:
    """Runs the first episode of every environment with the deterministic policy.

    The compiled training rollout is reused, with fresh environments and the policy's mode. An
    episode that lasts longer than the evaluation is cut off at its end and counted, so that long
    episodes are not left out. Steps of the last rollout beyond the end do not count.

    Args:
      program: the program.
      rollout: its compiled rollout.
      train_state: the state to evaluate, in the layout of the actor.
      iteration: iterations finished; another one draws other episodes.
      seed: seed of the run.
      length_seconds: length of the evaluation, simulated s, rounded to steps, at least one; no
        environment counts more.
      observations: names of the observations to keep.
      on_progress: takes the share of the rollouts that are done.

    Returns:
      The episodes.
    """
    partitioner, ctrl_dt = program.actor, program.environment.ctrl_dt
    # The first step only begins the episode.
    num_steps = 1 + max(1, round(length_seconds / ctrl_dt))
    num_rollouts = math.ceil(num_steps / program.rollout_length)
    env_state = evaluation_environments(program, seed)
    rollouts = []
    for index in range(num_rollouts):
        request = program.rollout_request(EVALUATE, iteration * num_rollouts + index)
        env_state, trajectory, _ = rollout(train_state, env_state, request)
        kept = (
            {name: trajectory.observations[name] for name in observations},
            trajectory.reward,
            trajectory.is_terminated,
            trajectory.is_truncated,
            trajectory.is_valid,
        )
        rollouts.append(partitioner.gather_steps(kept))
        on_progress((index + 1) / num_rollouts)
    seen, reward, is_terminated, is_truncated, is_valid = jax.tree.map(
        lambda *steps: np.concatenate(steps)[:num_steps], *rollouts
    )
    return first_episodes(seen, reward, is_terminated, is_truncated, is_valid, ctrl_dt)


def evaluation_environments(program: Program, seed: int) -> Any:
    """Returns environments that belong to no training, in the layout of the actor."""
    return program.actor.shard_environments(program.new_environments(seed, EVALUATE))


def first_episodes(
    observations: dict[str, np.ndarray],
    reward: np.ndarray,
    is_terminated: np.ndarray,
    is_truncated: np.ndarray,
    is_valid: np.ndarray,
    ctrl_dt: float,
) -> Episodes:
    """Returns the first episode of each environment; arrays `[T, num_envs, ...]`."""
    is_done = is_terminated | is_truncated
    has_ended_before = np.cumsum(is_done, axis=0) - is_done > 0
    is_counted = is_valid & ~has_ended_before
    return Episodes(observations, reward, is_counted, is_terminated & is_counted, ctrl_dt)
