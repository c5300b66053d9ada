"""Environments by name, for `ksim.train_ppo`; the contract is in `ksim.envs`."""

from ksim.envs import Environment, EnvParams, Timestep, make

__all__ = ["EnvParams", "Environment", "Timestep", "make"]
