"""Wrappers of environments."""

from ksim.envs import AutoResetWrapper

__all__ = ["AutoResetWrapper"]
