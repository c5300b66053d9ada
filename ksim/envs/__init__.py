"""Worlds to act in: the environment contract, robots in MuJoCo, small classics."""

from ksim.envs.auto_reset import AutoResetState, AutoResetWrapper
from ksim.envs.environment import (
    ActionSpace,
    ContinuousActions,
    DiscreteActions,
    Environment,
    RunContext,
    Timestep,
    hardest,
)

__all__ = [
    "ActionSpace",
    "AutoResetState",
    "AutoResetWrapper",
    "ContinuousActions",
    "DiscreteActions",
    "Environment",
    "RunContext",
    "Timestep",
    "hardest",
]
