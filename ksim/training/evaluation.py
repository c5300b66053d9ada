"""Episodes of the deterministic policy, by the training program itself."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ksim.training.metrics import Metrics
from ksim.training.program import EVALUATE, Program, RolloutRequest


def evaluate(
    program: Program,
    rollout: Callable[..., Any],
    train_state: Any,
    iteration: int,
    seed: int,
    length_seconds: float,
) -> Metrics:
    """Runs the first episode of every environment, and says how it went.

    The compiled training rollout is reused, with fresh environments and the policy's mode. An
    episode that lasts longer than the evaluation counts as far as it went, so that long episodes
    are not left out.

    Args:
      program: the program.
      rollout: its compiled rollout.
      train_state: the state to evaluate, in the partitioner's layout.
      iteration: iterations finished; another one draws other episodes.
      seed: of the run.
      length_seconds: length of the evaluation, simulated s.

    Returns:
      Metrics named `eval/...`.
    """
    partitioner = program.partitioner
    rollout_seconds = program.rollout_length * program.environment.ctrl_dt
    num_rollouts = math.ceil(length_seconds / rollout_seconds - 1e-9)
    env_state = evaluation_environments(program, seed)
    rewards, dones, valid, failed = [], [], [], []
    for index in range(num_rollouts):
        request = evaluation_request(program, iteration * num_rollouts + index)
        env_state, trajectory, _ = rollout(train_state, env_state, request)
        steps = partitioner.gather_steps(
            (
                trajectory.reward,
                trajectory.is_terminated,
                trajectory.is_truncated,
                trajectory.is_valid,
            )
        )
        reward, is_terminated, is_truncated, is_valid = steps
        rewards.append(reward)
        failed.append(is_terminated)
        dones.append(is_terminated | is_truncated)
        valid.append(is_valid)
    return first_episode_metrics(*map(np.concatenate, (rewards, dones, failed, valid)))


def evaluation_environments(program: Program, seed: int) -> Any:
    """Returns environments that belong to no training, in the partitioner's layout."""
    return program.partitioner.shard_environments(program.new_environments(seed, EVALUATE))


def evaluation_request(program: Program, index: int) -> Any:
    """Returns the request for the `index`-th rollout of all evaluations, likewise."""
    return program.partitioner.replicate_state(
        RolloutRequest(
            is_deterministic=np.array(True),
            stream=np.array(EVALUATE, np.int32),
            index=np.array(index, np.int32),
        )
    )


def first_episode_metrics(
    reward: np.ndarray, is_done: np.ndarray, is_terminated: np.ndarray, is_valid: np.ndarray
) -> Metrics:
    """Returns the metrics of the first episode of each environment; arrays `[T, num_envs]`."""
    has_ended_before = np.cumsum(is_done, axis=0) - is_done > 0
    is_counted = is_valid & ~has_ended_before
    returns = np.sum(np.where(is_counted, reward, 0.0), axis=0, dtype=np.float64)
    lengths = np.sum(is_counted, axis=0)
    return {
        "eval/episode/return": float(np.mean(returns)),
        "eval/episode/return_std": float(np.std(returns)),
        "eval/episode/length": float(np.mean(lengths)),
        "eval/share_failed": float(np.mean(np.any(is_terminated & is_counted, axis=0))),
    }
