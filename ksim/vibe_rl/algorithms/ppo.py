"""PPO for `ksim.train_ppo`; tasks have `ksim.PPOConfig` instead."""

from ksim.functional import PPO, PPOAgentState, PPOConfig, PPOMetricsHistory, PPOTrainState

__all__ = ["PPO", "PPOAgentState", "PPOConfig", "PPOMetricsHistory", "PPOTrainState"]
