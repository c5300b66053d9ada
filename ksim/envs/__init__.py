"""Worlds to act in: the environment contract, robots in MuJoCo, small classics."""

from ksim.envs.auto_reset import AutoResetState, AutoResetWrapper
from ksim.envs.brax_environment import BraxEnvironment, BraxState
from ksim.envs.cartpole import CartPole, CartPoleState
from ksim.envs.environment import (
    ActionSpace,
    ContinuousActions,
    DiscreteActions,
    Environment,
    RunContext,
    Timestep,
    hardest,
)
from ksim.envs.mujoco.environment import MujocoEnvironment
from ksim.envs.mujoco.state import MujocoState
from ksim.envs.mujoco.terms import MujocoTerms

__all__ = [
    "ActionSpace",
    "AutoResetState",
    "AutoResetWrapper",
    "BraxEnvironment",
    "BraxState",
    "CartPole",
    "CartPoleState",
    "ContinuousActions",
    "DiscreteActions",
    "Environment",
    "MujocoEnvironment",
    "MujocoState",
    "MujocoTerms",
    "RunContext",
    "Timestep",
    "hardest",
]
