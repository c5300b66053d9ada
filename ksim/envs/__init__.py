"""Worlds to act in: the environment contract, robots in MuJoCo, small classics."""

from ksim.envs.auto_reset import AutoResetState, AutoResetWrapper
from ksim.envs.brax_environment import BraxEnvironment, BraxState
from ksim.envs.cartpole import CartPole, CartPoleState
from ksim.envs.environment import (
    ActionSpace,
    ContinuousActions,
    DiscreteActions,
    Environment,
    Timestep,
)
from ksim.envs.joined_observations import JoinedObservations, join_observations
from ksim.envs.mujoco_environment import MujocoEnvironment, MujocoState
from ksim.envs.mujoco_terms import MujocoTerms
from ksim.envs.registry import EnvParams, make

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
    "EnvParams",
    "Environment",
    "JoinedObservations",
    "MujocoEnvironment",
    "MujocoState",
    "MujocoTerms",
    "Timestep",
    "join_observations",
    "make",
]
