"""Options of ksim, one small base class for each concern."""

from ksim.config.concerns.devices import (
    COMPRESSIONS,
    PARTITIONERS,
    SCALINGS,
    SYNC_MODES,
    DevicesConfig,
    SplitParametersConfig,
    check_divides,
    check_fsdp_divides,
)
from ksim.config.concerns.network import ACTIVATIONS, NetworkConfig, convolution_sizes
from ksim.config.concerns.physics import PhysicsConfig, count_substeps
from ksim.config.concerns.ppo import (
    SCHEDULES,
    TIMED_SCHEDULES,
    LearningConfig,
    PolicyUpdateConfig,
)
from ksim.config.concerns.processes import (
    ProcessesConfig,
    check_process_id,
    split_address,
)
from ksim.config.concerns.rollout import RolloutConfig
from ksim.config.concerns.run import RUN_MODES, EvaluationConfig, RunConfig, TrainingConfig
from ksim.config.concerns.video import VideoConfig, WatchedRunConfig

__all__ = [
    "ACTIVATIONS",
    "COMPRESSIONS",
    "PARTITIONERS",
    "RUN_MODES",
    "SCALINGS",
    "SCHEDULES",
    "SYNC_MODES",
    "TIMED_SCHEDULES",
    "DevicesConfig",
    "EvaluationConfig",
    "LearningConfig",
    "NetworkConfig",
    "PhysicsConfig",
    "PolicyUpdateConfig",
    "ProcessesConfig",
    "RolloutConfig",
    "RunConfig",
    "SplitParametersConfig",
    "TrainingConfig",
    "VideoConfig",
    "WatchedRunConfig",
    "check_divides",
    "check_fsdp_divides",
    "check_process_id",
    "convolution_sizes",
    "count_substeps",
    "split_address",
]
