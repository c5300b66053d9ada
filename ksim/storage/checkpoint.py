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
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ksim.storage.manifest import force_to_disk, verify_manifest, write_manifest
from ksim.storage.state_leaves import (
    LeafSpec,
    check_specs_fit,
    is_key,
    leaf_spec,
    leaf_specs,
    named_leaves,
)

_ARRAYS_NAME = "arrays"
_METADATA_NAME = "metadata.json"


class CheckpointSaveError(OSError):
    """A checkpoint could not be written; those saved before are untouched."""


def save_checkpoint(directory: Path, step: int, state: PyTree, metadata: dict[str, Any]) -> Path:
    """Saves `state` as `directory/step_<step>`, whole or not at all.

    A checkpoint of the same step is replaced. What earlier, killed saves left behind in
    `directory` is removed.

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
        (temporary / _METADATA_NAME).write_text(text)
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


def restore_checkpoint(path: Path, target: PyTree, part: str | tuple[str, ...] = "") -> PyTree:
    """Reads the checkpoint at `path`, or a part of it, into the structure of `target`.

    Args:
      path: a checkpoint, as `find_checkpoint` returns it.
      target: pytree of arrays, typed keys or `ShapeDtypeStruct`s; only structure, shapes and
        dtypes are read.
      part: only leaves whose name begins so, or with one of these, are looked at, as in "train/";
        all by default.

    Returns:
      A pytree like `target`, with numpy arrays and typed keys, bit for bit as they were saved.

    Raises:
      CheckpointCorruptError: if a file is missing or was changed.
      CheckpointMismatchError: if leaves, shapes or dtypes differ from those of `target`.
    """
    verify_manifest(path)
    check_checkpoint_fits(path, target, part)
    records = _read_description(path)["leaves"]
    names = list(named_leaves(target))
    arrays = _read_arrays(
        path / _ARRAYS_NAME, [name for name in names if 0 not in records[name]["shape"]]
    )
    leaves = [_to_leaf(arrays.get(name), records[name]) for name in names]
    return jax.tree.unflatten(jax.tree.structure(target), leaves)


def check_checkpoint_fits(path: Path, target: PyTree, part: str | tuple[str, ...] = "") -> None:
    """Compares the leaves of a checkpoint with those of `target`, without reading its arrays.

    Args:
      path: the checkpoint.
      target: as for `restore_checkpoint`.
      part: likewise.

    Raises:
      CheckpointCorruptError: if the metadata is missing or was changed.
      CheckpointMismatchError: naming each leaf, what was expected and what was found.
    """
    expected = leaf_specs(target)
    found = {
        name: LeafSpec(tuple(record["shape"]), record["dtype"])
        for name, record in _read_description(path)["leaves"].items()
        if name.startswith(part)
    }
    check_specs_fit(expected, found, f"Checkpoint {path}")


def has_part(path: Path, part: str) -> bool:
    """Returns whether a checkpoint has leaves whose name begins so, as in "train/".

    Raises:
      CheckpointCorruptError: if the metadata is missing or was changed.
    """
    return any(name.startswith(part) for name in _read_description(path)["leaves"])


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata that was saved with the checkpoint at `path`.

    Raises:
      CheckpointCorruptError: if the metadata is missing or was changed.
    """
    return _read_description(path)["metadata"]


def read_step(path: Path) -> int:
    """The iterations that were completed when the checkpoint at `path` was saved.

    Raises:
      CheckpointCorruptError: if the metadata is missing or was changed.
    """
    return int(_read_description(path)["step"])


def _to_arrays(state: PyTree) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The leaves as numpy arrays, and the JSON record of each."""
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
    """Returns what reads and writes arrays in this process, without waiting for any other."""
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


def _read_description(path: Path) -> dict[str, Any]:
    verify_manifest(path, _METADATA_NAME)
    return json.loads((path / _METADATA_NAME).read_text())


def _put_in_place(temporary: Path, final: Path) -> None:
    """Renames a finished checkpoint; one of the same step is complete until then."""
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
    """Gives a checkpoint its name back that a killed save had moved away for another one."""
    for moved in directory.glob(".step_*.replaced"):
        final = directory / moved.name.removeprefix(".").removesuffix(".replaced")
        # Where only others may write it stays; and another one may put it back in this moment.
        with contextlib.suppress(OSError):
            if not final.exists():
                moved.rename(final)


def _clear_leftovers(directory: Path) -> None:
    """Removes what a killed save or prune left behind, and puts back what it had moved away."""
    put_back(directory)
    for leftover in directory.glob(".step_*"):
        if leftover.name.rpartition(".")[2] in ("writing", "replaced", "removed"):
            shutil.rmtree(leftover)
