"""Writes and verifies manifests: size and SHA-256 of every file in a directory.

A manifest tells a finished directory from a half-written one, and reveals a flipped bit in any
file before the file is used.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ksim.config import ConfigError

MANIFEST_NAME = "manifest.json"

Files = dict[str, Any]
"""Files of a manifest: size and SHA-256 of each, by its relative path."""

_FORMAT = "sha256-manifest-1"


class CheckpointCorruptError(ConfigError):
    """A file of a checkpoint is missing or differs from the one that was saved."""


def write_manifest(directory: Path) -> None:
    """Records every file below `directory` in its manifest and forces all of them to disk.

    Args:
      directory: the finished directory; nothing may be written into it afterwards.
    """
    files = {
        path.relative_to(directory).as_posix(): _record(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    manifest = directory / MANIFEST_NAME
    manifest.write_text(json.dumps({"format": _FORMAT, "files": files}, indent=1) + "\n")
    for path in (directory, *directory.rglob("*")):
        force_to_disk(path)


def verify_manifest(directory: Path, required: str) -> Files:
    """Compares the files of `directory` with its manifest.

    Args:
      directory: a directory that `write_manifest` finished.
      required: the relative path of a file that must be among them.

    Returns:
      The files of the manifest.

    Raises:
      CheckpointCorruptError: with the first bad file, as expected and as found.
    """
    files = _read_manifest(directory)
    for name in (required, *(name for name in files if name != required)):
        _verify(directory, name, files)
    return files


def verify_file(directory: Path, name: str) -> None:
    """Compares one file of `directory`, by its relative path, with the manifest."""
    _verify(directory, name, _read_manifest(directory))


def check_sizes(directory: Path, verified: Files | None = None) -> None:
    """Compares the sizes of the files of `directory` with its manifest, without reading them.

    Args:
      directory: as for `verify_manifest`.
      verified: result of `verify_manifest`, if the manifest must still be the same.

    Raises:
      CheckpointCorruptError: as for `verify_manifest`.
    """
    files = _read_manifest(directory)
    if verified not in (None, files):
        raise _corrupt(directory, MANIFEST_NAME, "the one that was verified", "a later one")
    for name, expected in files.items():
        path = directory / name
        if not path.is_file():
            raise _corrupt(directory, name, f"{expected}", "no such file")
        size = path.stat().st_size
        if not isinstance(expected, dict) or expected.get("size") != size:
            raise _corrupt(directory, name, f"{expected}", f"{size} bytes")


def _verify(directory: Path, name: str, files: Files) -> None:
    expected = files.get(name)
    path = directory / name
    if expected is None:
        raise _corrupt(directory, MANIFEST_NAME, f"an entry for {name}", "none")
    if not path.is_file():
        raise _corrupt(directory, name, f"{expected}", "no such file")
    found = _record(path)
    if found != expected:
        raise _corrupt(directory, name, f"{expected}", f"{found}")


def force_to_disk(path: Path) -> None:
    """Waits until a file, or the entries of a directory, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_manifest(directory: Path) -> Files:
    path = directory / MANIFEST_NAME
    try:
        match json.loads(path.read_bytes()):
            case {"format": str(form), "files": dict(files)} if form == _FORMAT:
                return files
            case other:
                found = f"{other}"[:80]
    except FileNotFoundError:
        found = "no such file"
    except ValueError as error:  # not UTF-8, or not JSON
        found = f"{error}"
    raise _corrupt(directory, MANIFEST_NAME, f"a table of files of format {_FORMAT!r}", found)


def _record(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _corrupt(directory: Path, name: str, expected: str, found: str) -> CheckpointCorruptError:
    return CheckpointCorruptError(
        f"Checkpoint {directory} is damaged in {name}: expected {expected}, found {found}. "
        "It cannot be trusted; use an earlier checkpoint of the run."
    )
