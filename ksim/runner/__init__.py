"""Runs PPO on an environment, on one device or several."""

from ksim.functional import PPOMetricsHistory, PPOTrainState, RunnerConfig, train_ppo

train_ppo_multigpu = train_ppo
"""The same as `train_ppo`, which uses all devices anyway."""

__all__ = [
    "PPOMetricsHistory",
    "PPOTrainState",
    "RunnerConfig",
    "train_ppo",
    "train_ppo_multigpu",
]
