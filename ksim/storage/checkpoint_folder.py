"""Finds and prunes the checkpoints in a folder: the newest, the best, the superfluous."""

import contextlib
import logging
import math
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ksim.config import ConfigError
from ksim.storage.checkpoint import (
    METADATA_NAME,
    SavedCheckpoint,
    open_checkpoint,
    put_back,
    read_description,
)
from ksim.storage.manifest import (
    MANIFEST_NAME,
    CheckpointCorruptError,
    check_sizes,
    verify_file,
)

EVALUATION_RETURN = "evaluation_return"
"""Key in a checkpoint's metadata: the mean return of its policy, if it was evaluated."""

BEST_NAME = "best"
"""Suffix to the path of a run or a folder of checkpoints: the one that was evaluated best."""

_STEP_PATTERN = re.compile(r"step_(\d{8,})")

_logger = logging.getLogger(__name__)


def list_checkpoints(directory: Path) -> list[Path]:
    """Lists the finished checkpoints in `directory`, oldest step first.

    Only a directory named `step_<number>` that holds a manifest counts; files are not verified. A
    checkpoint that a killed save had moved away, to replace it, is put back.
    """
    if not directory.is_dir():
        return []
    put_back(directory)
    return sorted(filter(_is_named_checkpoint, directory.iterdir()), key=step_of)


def latest_checkpoint(directory: Path) -> SavedCheckpoint | None:
    """Opens the newest intact checkpoint in `directory`, if any; logs and skips damaged ones."""
    return _first_intact(reversed(list_checkpoints(directory)))


def best_checkpoint(directory: Path) -> SavedCheckpoint | None:
    """Opens the intact checkpoint in `directory` that was evaluated best, if any was evaluated.

    Among equally good ones it is the newest.
    """
    return _first_intact(_claimed_returns(directory))


def best_return(directory: Path, opened: SavedCheckpoint | None = None) -> float:
    """Returns the best mean return of the checkpoints in `directory`; -inf if none was evaluated.

    Args:
      directory: the folder of a run's checkpoints.
      opened: a checkpoint whose metadata need not be verified again.
    """
    for path, value in _claimed_returns(directory).items():
        with contextlib.suppress(CheckpointCorruptError):  # reported when it is opened
            if opened is None or path != opened.path:
                verify_file(path, METADATA_NAME)
            return value
    return -math.inf


def _claimed_returns(directory: Path) -> dict[Path, float]:
    """Returns the mean returns of evaluated checkpoints, best first, without verifying them.

    A damaged one may claim any return: to be chosen it has to be intact.
    """
    returns = {}
    for path in list_checkpoints(directory):
        # An unreadable one is reported when it is opened.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            returns[path] = float(read_description(path)["metadata"][EVALUATION_RETURN])
    return dict(sorted(returns.items(), key=lambda item: (item[1], item[0]), reverse=True))


def _first_intact(paths: Iterable[Path]) -> SavedCheckpoint | None:
    for path in paths:
        try:
            return open_checkpoint(path)
        except CheckpointCorruptError as error:
            _logger.warning("%s Skipping it.", error)
    return None


def _first_whole(paths: Iterable[Path]) -> Path | None:
    """Returns the first checkpoint whose files have the right sizes, without reading them."""
    for path in paths:
        try:
            check_sizes(path)
        except CheckpointCorruptError as error:
            _logger.warning("%s Skipping it.", error)
        else:
            return path
    return None


def find_checkpoint(path: Path) -> SavedCheckpoint:
    """Opens, and thus verifies, the checkpoint that `path` names.

    Args:
      path: a checkpoint; or a folder of checkpoints or a run directory, for its newest intact one;
        or either of these with `/best` behind it, for the one that was evaluated best.

    Raises:
      ConfigError: if there is none, with the entries found instead.
      CheckpointCorruptError: if `path` is a checkpoint, and a file is missing or was changed.
    """
    if (path / MANIFEST_NAME).is_file():
        return open_checkpoint(path)
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

    Call it after a save. The best one is checked by the sizes of its files only: it is verified
    when it is opened, and not at every save.

    Args:
      directory: the folder of a run's checkpoints.
      keep: number of newest checkpoints that remain, >= 1.

    Returns:
      The removed paths.

    Raises:
      ValueError: if `keep` is less than 1.
    """
    if keep < 1:
        raise ValueError(f"keep={keep}: at least 1 checkpoint must be kept.")
    older = list_checkpoints(directory)[:-keep]
    best = _first_whole(_claimed_returns(directory)) if older else None
    removed = [path for path in older if path != best]
    for path in removed:
        # Hidden first: a kill in the middle must not leave half a checkpoint under its name.
        shutil.rmtree(path.rename(path.with_name(f".{path.name}.removed")))
    return removed


def set_aside_later_checkpoints(directory: Path, step: int) -> list[Path]:
    """Renames checkpoints later than `step`, so that a run that continues from `step` is newest.

    Without this a run that goes back to an older checkpoint, and is resumed again, would continue
    the branch that it left.

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
    """Returns the step of a checkpoint, given its path."""
    return int(path.name.removeprefix("step_"))
