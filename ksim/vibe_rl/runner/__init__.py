"""Runs PPO on an environment, on one device or several."""

from ksim.functional import PPOMetricsHistory, PPOTrainState, RunnerConfig, train_ppo
from ksim.vibe_rl.runner.multigpu import train_ppo_multigpu

__all__ = [
    "PPOMetricsHistory",
    "PPOTrainState",
    "RunnerConfig",
    "train_ppo",
    "train_ppo_multigpu",
]
