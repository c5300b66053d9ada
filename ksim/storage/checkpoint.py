"""Checkpoints: a pytree of arrays on disk, complete or absent, and verified when it is read.

A checkpoint is the directory `step_00000042` with

    arrays/        the leaves as one flat orbax dictionary {name: array}; keys as their raw data
    metadata.json  the step, the caller's metadata, and shape and dtype of every leaf
    manifest.json  size and SHA-256 of every file

It is written under a hidden name, forced to disk and renamed, so that a kill at any moment leaves
either the whole checkpoint or none. Without ksim the arrays are read by
`orbax.checkpoint.PyTreeCheckpointer().restore(path / "arrays")`.
"""

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ksim.storage.manifest import (
    Files,
    check_sizes,
    force_to_disk,
    verify_manifest,
    write_manifest,
)
from ksim.storage.state_leaves import (
    LeafSpec,
    check_specs_fit,
    leaf_spec,
    leaf_specs,
    named_leaves,
)
from ksim.xla.key_data import is_key

_ARRAYS_NAME = "arrays"
METADATA_NAME = "metadata.json"


class CheckpointSaveError(OSError):
    """A checkpoint could not be written; earlier ones are untouched."""


def save_checkpoint(directory: Path, step: int, state: PyTree, metadata: dict[str, Any]) -> Path:
    """Saves `state` as `directory/step_<step>`, whole or not at all.

    A checkpoint of the same step is replaced. Leftovers of killed saves in `directory` are
    removed.

    Args:
      directory: the folder of a run's checkpoints; made if it does not exist.
      step: completed iterations, >= 0.
      state: pytree of numbers, arrays and typed PRNG keys, each in its global layout.
      metadata: JSON data about the run, such as its task and options.

    Returns:
      The path of the finished checkpoint.

    Raises:
      TypeError: if a leaf is no array of numbers, or `metadata` is not JSON.
      CheckpointSaveError: if the disk is full or cannot be written.
    """
    assert step >= 0, step
    final = directory / f"step_{step:08d}"
    arrays, records = _to_arrays(state)
    text = json.dumps({"step": step, "metadata": metadata, "leaves": records}, indent=1)
    temporary = directory / f".{final.name}.writing"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(directory)
        temporary.mkdir()
        _write_arrays(temporary / _ARRAYS_NAME, arrays)
        (temporary / METADATA_NAME).write_text(text)
        write_manifest(temporary)
        _put_in_place(temporary, final)
    except (OSError, ValueError) as error:  # orbax reports a full disk as a ValueError
        raise CheckpointSaveError(
            f"Checkpoint {final} could not be saved: {error}. Free space there or name another "
            "run directory. Earlier checkpoints are untouched."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


@dataclasses.dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk; its files were compared with their manifest when it was opened.

    Attributes:
      path: its directory.
      step: completed iterations.
      metadata: JSON data about the run.
      leaves: JSON record of every leaf, by name.
      files: files of its manifest.
    """

    path: Path
    step: int
    metadata: dict[str, Any]
    leaves: dict[str, Any]
    files: Files

    def has_part(self, part: str) -> bool:
        """Returns whether any leaf's name begins with `part`, such as "train/"."""
        return any(name.startswith(part) for name in self.leaves)

    def check_fits(self, target: PyTree, part: str | tuple[str, ...] = "") -> None:
        """Compares the leaves with those of `target`, without reading arrays.

        Args:
          target: pytree of arrays, typed keys or `ShapeDtypeStruct`s; only structure, shapes and
            dtypes are read.
          part: beginning of the names to compare, such as "train/", or several; all by default.

        Raises:
          CheckpointMismatchError: with each bad leaf, as expected and as found.
        """
        found = {
            name: LeafSpec(tuple(record["shape"]), record["dtype"])
            for name, record in self.leaves.items()
            if name.startswith(part)
        }
        check_specs_fit(leaf_specs(target), found, f"Checkpoint {self.path}")

    def restore(self, target: PyTree, part: str | tuple[str, ...] = "") -> PyTree:
        """Reads the checkpoint, or a part of it, into the structure of `target`.

        Args:
          target: as for `check_fits`.
          part: as for `check_fits`.

        Returns:
          A pytree like `target` of numpy arrays and typed keys, bit for bit as saved.

        Raises:
          CheckpointCorruptError: if a file has vanished since the checkpoint was opened.
          CheckpointMismatchError: if leaves, shapes or dtypes differ from those of `target`.
        """
        self.check_fits(target, part)
        check_sizes(self.path, self.files)
        records = {name: self.leaves[name] for name in named_leaves(target)}
        stored = [name for name, record in records.items() if 0 not in record["shape"]]
        arrays = _read_arrays(self.path / _ARRAYS_NAME, stored)
        leaves = [_to_leaf(arrays.get(name), record) for name, record in records.items()]
        return jax.tree.unflatten(jax.tree.structure(target), leaves)


def open_checkpoint(path: Path) -> SavedCheckpoint:
    """Verifies every file of the checkpoint at `path`, and reads its description.

    Raises:
      CheckpointCorruptError: if a file is missing or was changed.
    """
    files = verify_manifest(path, required=METADATA_NAME)
    description = read_description(path)
    return SavedCheckpoint(
        path, int(description["step"]), description["metadata"], description["leaves"], files
    )


def read_description(path: Path) -> Any:
    """Reads a checkpoint's `metadata.json`, without verifying it."""
    return json.loads((path / METADATA_NAME).read_text())


def _to_arrays(state: PyTree) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns the leaves as numpy arrays, and the JSON record of each."""
    leaves = named_leaves(state)
    records: dict[str, Any] = {}
    for name, leaf in leaves.items():
        records[name] = leaf_spec(name, leaf)._asdict()
        if is_key(leaf):
            records[name]["key_impl"] = str(jax.random.key_impl(leaf))
            leaves[name] = jax.random.key_data(leaf)
    return {name: np.asarray(leaf) for name, leaf in jax.device_get(leaves).items()}, records


def _to_leaf(array: np.ndarray | None, record: dict[str, Any]) -> Any:
    """Undoes `_to_arrays` for one leaf; `array` is None for a leaf of size zero."""
    shape = tuple(record["shape"])
    if "key_impl" not in record:
        return np.zeros(shape, np.dtype(record["dtype"])) if array is None else array
    if array is None:
        return jax.random.split(jax.random.key(0, impl=record["key_impl"]), shape)
    return jax.random.wrap_key_data(jnp.asarray(array), impl=record["key_impl"])


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    import orbax.checkpoint as ocp

    # orbax stores neither arrays of size zero nor an empty dictionary; their records suffice.
    arrays = {name: array for name, array in arrays.items() if array.size}
    if arrays:
        with _checkpointer() as checkpointer:
            checkpointer.save(path.absolute(), args=ocp.args.PyTreeSave(arrays))


def _read_arrays(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    if not names:
        return {}
    as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    wanted = ocp.args.PyTreeRestore(dict.fromkeys(names, 0), as_numpy, partial_restore=True)
    with _checkpointer() as checkpointer:
        return checkpointer.restore(path.absolute(), args=wanted)


def _checkpointer() -> Any:
    """Returns an orbax checkpointer of this process alone, which waits for no other."""
    import orbax.checkpoint as ocp

    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"process_{jax.process_index()}",
    )
    return ocp.Checkpointer(
        ocp.PyTreeCheckpointHandler(multiprocessing_options=alone),
        multiprocessing_options=alone,
    )


def _put_in_place(temporary: Path, final: Path) -> None:
    """Renames a finished checkpoint, which replaces a complete one of the same step."""
    replaced = final.with_name(f".{final.name}.replaced")
    try:
        if final.exists():
            final.rename(replaced)
        temporary.rename(final)
    except BaseException:
        put_back(final.parent)
        raise
    force_to_disk(final.parent)
    if replaced.exists():
        shutil.rmtree(replaced)


def put_back(directory: Path) -> None:
    """Renames back each checkpoint that a killed save had moved away to replace it."""
    for moved in directory.glob(".step_*.replaced"):
        final = directory / moved.name.removeprefix(".").removesuffix(".replaced")
        # It stays where only others may write; and another process may put it back right now.
        with contextlib.suppress(OSError):
            if not final.exists():
                moved.rename(final)


def _clear_leftovers(directory: Path) -> None:
    """Removes leftovers of killed saves and prunes, and puts back moved checkpoints."""
    put_back(directory)
    for leftover in directory.glob(".step_*"):
        if leftover.name.rpartition(".")[2] in ("writing", "replaced", "removed"):
            shutil.rmtree(leftover)
