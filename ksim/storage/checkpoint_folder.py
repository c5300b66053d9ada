"""Which checkpoints a folder has: the newest, the best, and those that it no longer needs."""

import contextlib
import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ksim.config import ConfigError
from ksim.storage.checkpoint import put_back, read_metadata
from ksim.storage.manifest import MANIFEST_NAME, CheckpointCorruptError, verify_manifest

EVALUATION_RETURN = "evaluation_return"
"""Of a checkpoint's metadata: the mean return of its policy, if it was evaluated."""

BEST_NAME = "best"
"""Behind the path of a run or a folder of checkpoints: the checkpoint that was evaluated best."""

_STEP_PATTERN = re.compile(r"step_(\d{8,})")

_logger = logging.getLogger(__name__)


def list_checkpoints(directory: Path) -> list[Path]:
    """The finished checkpoints in `directory`, oldest step first.

    Only a directory named `step_<number>` that holds a manifest counts; files are not verified. One
    that a killed save had moved away, to replace it, is put back.
    """
    if not directory.is_dir():
        return []
    put_back(directory)
    return sorted(filter(_is_named_checkpoint, directory.iterdir()), key=step_of)


def latest_checkpoint(directory: Path) -> Path | None:
    """The newest intact checkpoint in `directory`, or None; damaged ones are logged and skipped."""
    return _first_intact(reversed(list_checkpoints(directory)))


def best_checkpoint(directory: Path) -> Path | None:
    """The intact checkpoint in `directory` that was evaluated best, or None if none was evaluated.

    Of equally good ones it is the newest.
    """
    evaluated = evaluation_returns(directory)
    return _first_intact(sorted(evaluated, key=lambda path: (evaluated[path], path), reverse=True))


def evaluation_returns(directory: Path) -> dict[Path, float]:
    """The mean return of their evaluation, of those checkpoints in `directory` that have one."""
    returns = {}
    for path in list_checkpoints(directory):
        with contextlib.suppress(CheckpointCorruptError):  # it is reported when it is to be used
            metadata = read_metadata(path)
            if EVALUATION_RETURN in metadata:
                returns[path] = float(metadata[EVALUATION_RETURN])
    return returns


def _first_intact(paths: Iterable[Path]) -> Path | None:
    for path in paths:
        try:
            verify_manifest(path)
        except CheckpointCorruptError as error:
            _logger.warning("%s Skipping it.", error)
        else:
            return path
    return None


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that `path` names, verified.

    Args:
      path: a checkpoint; or a folder of checkpoints or a run directory, for its newest intact one;
        or one of these two with `/best` behind it, for the one that was evaluated best.

    Raises:
      ConfigError: if there is none, with what stands there instead.
      CheckpointCorruptError: if the checkpoint itself is named, and a file is missing or was
        changed.
    """
    if (path / MANIFEST_NAME).is_file():
        verify_manifest(path)
        return path
    is_best_meant = path.name == BEST_NAME and not path.exists()
    folder, choose = (path.parent, best_checkpoint) if is_best_meant else (path, latest_checkpoint)
    for directory in (folder, folder / "checkpoints"):
        if (chosen := choose(directory)) is not None:
            return chosen
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    content = sorted(entry.name for entry in existing.iterdir()) if existing.is_dir() else []
    kind = "evaluated" if is_best_meant else "intact"
    raise ConfigError(
        f"No {kind} checkpoint at {path}. Name a checkpoint (.../checkpoints/step_00000100), a "
        f"folder of checkpoints or a run directory. {existing} "
        + (f"holds: {', '.join(content[:12])}." if content else "holds nothing.")
    )


def prune_checkpoints(directory: Path, keep: int) -> list[Path]:
    """Removes all but the `keep` newest checkpoints and the best one, oldest first.

    Call it after a save.

    Args:
      directory: the folder of a run's checkpoints.
      keep: how many remain, >= 1.

    Returns:
      The paths that were removed.

    Raises:
      ValueError: if `keep` is less than 1.
    """
    if keep < 1:
        raise ValueError(f"keep={keep}: at least 1 checkpoint must be kept.")
    older = list_checkpoints(directory)[:-keep]
    best = best_checkpoint(directory) if older else None
    removed = [path for path in older if path != best]
    for path in removed:
        # Hidden first: a kill in the middle must not leave half a checkpoint under its name.
        shutil.rmtree(path.rename(path.with_name(f".{path.name}.removed")))
    return removed


def set_aside_later_checkpoints(directory: Path, step: int) -> list[Path]:
    """Renames checkpoints later than `step`, so that a run that continues from `step` is newest.

    Without this a run that goes back to an older checkpoint would be taken, when it is resumed
    again, for the branch that it left.

    Returns:
      The new paths, `step_<number>.superseded_<n>`; they are no longer listed or pruned.
    """
    moved = []
    for path in list_checkpoints(directory):
        if step_of(path) > step:
            number = len(list(directory.glob(f"{path.name}.superseded_*")))
            moved.append(path.rename(path.with_name(f"{path.name}.superseded_{number}")))
    return moved


def _is_named_checkpoint(path: Path) -> bool:
    return _STEP_PATTERN.fullmatch(path.name) is not None and (path / MANIFEST_NAME).is_file()


def step_of(path: Path) -> int:
    """The step of a checkpoint, given its path."""
    return int(path.name.removeprefix("step_"))
