"""Saves and loads what `ksim.train_ppo` returns; runs of tasks do so by themselves."""

from ksim.functional import load_checkpoint, save_checkpoint

__all__ = ["load_checkpoint", "save_checkpoint"]
