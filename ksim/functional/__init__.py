"""Training as a function: takes an environment, returns a trained state and its history."""

from ksim.functional.agent import PPO, PPOAgentState
from ksim.functional.checkpoint import load_checkpoint, save_checkpoint
from ksim.functional.config import PPOConfig, RunnerConfig
from ksim.functional.history import PPOMetricsHistory
from ksim.functional.train import PPOTrainState, train_ppo

__all__ = [
    "PPO",
    "PPOAgentState",
    "PPOConfig",
    "PPOMetricsHistory",
    "PPOTrainState",
    "RunnerConfig",
    "load_checkpoint",
    "save_checkpoint",
    "train_ppo",
]
