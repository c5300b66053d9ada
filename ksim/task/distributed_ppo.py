"""PPO on several devices."""

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from ksim.task.config import RLConfig
from ksim.task.distributed_rl import DistributedRLConfig, DistributedRLTask
from ksim.task.ppo import PPOConfig, PPOTask


@dataclass
class DistributedPPOConfig(DistributedRLConfig, PPOConfig):
    """Options of a task that learns by PPO on several devices."""


ConfigT = TypeVar("ConfigT", bound=DistributedPPOConfig)


class DistributedPPOTask(DistributedRLTask[ConfigT], PPOTask[ConfigT], Generic[ConfigT]):
    """A task that learns by PPO on several devices."""

    config_class: ClassVar[type[RLConfig]] = DistributedPPOConfig
