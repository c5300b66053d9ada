"""Saves and loads the results of `ksim.train_ppo`; runs of tasks do so by themselves."""

from ksim.functional import load_checkpoint, save_checkpoint

__all__ = ["load_checkpoint", "save_checkpoint"]
