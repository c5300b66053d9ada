"""Tasks: the base classes of users' tasks, and their options."""

from ksim.task.config import RLConfig
from ksim.task.distributed_ppo import DistributedPPOConfig, DistributedPPOTask
from ksim.task.distributed_rl import DistributedRLConfig, DistributedRLTask
from ksim.task.ppo import PPOConfig, PPOTask
from ksim.task.rl import RLTask

__all__ = [
    "DistributedPPOConfig",
    "DistributedPPOTask",
    "DistributedRLConfig",
    "DistributedRLTask",
    "PPOConfig",
    "PPOTask",
    "RLConfig",
    "RLTask",
]
