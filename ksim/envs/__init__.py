"""Worlds to act in: the environment contract, robots in MuJoCo, small classics."""

from ksim.envs.cartpole import CartPole, CartPoleState
from ksim.envs.environment import (
    ActionSpace,
    ContinuousActions,
    DiscreteActions,
    Environment,
    Timestep,
)
from ksim.envs.mujoco_environment import MujocoEnvironment, MujocoState, MujocoTerms

__all__ = [
    "ActionSpace",
    "CartPole",
    "CartPoleState",
    "ContinuousActions",
    "DiscreteActions",
    "Environment",
    "MujocoEnvironment",
    "MujocoState",
    "MujocoTerms",
    "Timestep",
]
