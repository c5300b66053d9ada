"""Environments by name, for `ksim.train_ppo`; the contract is in `ksim.envs`."""

from ksim.envs import Environment, Timestep
from ksim.vibe_rl.env.registry import EnvParams, make

__all__ = ["EnvParams", "Environment", "Timestep", "make"]
