"""Checkpoints of any pytree, by the functions that runs use: whole or absent, and verified."""

import os
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp

from ksim.functional.replication import replicate, unreplicate
from ksim.storage import checkpoint
from ksim.storage.checkpoint_folder import find_checkpoint, list_checkpoints, step_of
from ksim.storage.state_leaves import named_leaves

Tree = TypeVar("Tree")


def save_checkpoint(
    directory: str | os.PathLike[str],
    state: Tree,
    step: int | None = None,
    *,
    unreplicate: bool = False,
) -> Path:
    """Saves a pytree as `directory/step_<step>`, beside earlier checkpoints.

    A kill at any moment leaves the whole checkpoint or none. It holds arrays, with a SHA-256 of
    every file; nothing is pickled. Arrays that are split over devices are saved whole.

    Args:
      directory: a folder for checkpoints of one kind; made if it does not exist.
      state: arrays, numbers and keys.
      step: number that orders the checkpoints; one of the same step is replaced. `None` takes one
        more than the highest there, at first 0.
      unreplicate: if true, every array is `[n_devices, ...]`, and its first copy is saved.

    Returns:
      The path of the checkpoint.

    Raises:
      TypeError: if a leaf is not an array of numbers.
      ValueError: if `step` is negative, or `unreplicate` does not fit the shapes.
      CheckpointSaveError: if the disk is full or cannot be written.
    """
    directory = Path(directory)
    if step is None:
        step = 1 + max(map(step_of, list_checkpoints(directory)), default=-1)
    if step < 0:
        raise ValueError(f"save_checkpoint(step={step}): the first step is 0.")
    if unreplicate:
        state = _first_replica(state)
    return checkpoint.save_checkpoint(directory, step, state, metadata={})


def load_checkpoint(
    directory: str | os.PathLike[str], template: Tree, *, replicate_to: int | None = None
) -> Tree:
    """Reads the newest intact checkpoint of a folder, or the one that is named.

    Args:
      directory: the folder that was given to `save_checkpoint`, or the path that it returned.
      template: a pytree of the structure, shapes and dtypes that were saved, such as `PPO.init`
        makes; its numbers are not read.
      replicate_to: number of copies to return of every array, `[replicate_to, ...]`; `None`
        returns the arrays as they were saved.

    Returns:
      A pytree like `template`, bit for bit what was saved.

    Raises:
      ValueError: if there is no intact checkpoint, or it does not fit the template: it names the
        leaves, what was expected and what was found.
    """
    found = find_checkpoint(Path(directory))
    restored = jax.tree.map(jnp.asarray, found.restore(template))
    return restored if replicate_to is None else replicate(restored, replicate_to)


def _first_replica(state: Tree) -> Tree:
    """Returns the first copy `[...]` of arrays, if all are `[n_devices, ...]`."""
    shapes = {name: jnp.shape(leaf) for name, leaf in named_leaves(state).items()}
    first = next(iter(shapes.values()), ())
    for name, shape in shapes.items():
        if not shape or shape[:1] != first[:1]:
            raise ValueError(
                f"save_checkpoint(unreplicate=True) takes the first of [n_devices, ...] copies, but"
                f" leaf {name} has the shape {shape}. A state that train_ppo returns is a single"
                " copy already: leave unreplicate out."
            )
    return unreplicate(state)
