"""Names and creates the directory of a run's files: `runs/<task>/run_000/`, or the user's own."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ksim.config import ConfigError

_RUN_PATTERN = re.compile(r"run_(\d{3,})")


@dataclass(frozen=True)
class RunDirectory:
    """Paths of a run's files; asking for one creates nothing."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The effective options of the run."""
        return self.path / "config.yaml"

    @property
    def log_path(self) -> Path:
        """The log of the run, as text."""
        return self.path / "log.txt"

    @property
    def metrics_path(self) -> Path:
        """The metrics, one JSON object per iteration."""
        return self.path / "metrics.jsonl"

    @property
    def csv_path(self) -> Path:
        """The same as a table, if the run writes one."""
        return self.path / "metrics.csv"

    @property
    def tensorboard_path(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def checkpoints_path(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def videos_path(self) -> Path:
        """The folder of rendered videos."""
        return self.path / "videos"

    def holds(self, path: Path) -> bool:
        """Returns whether a path lies in the directory, or is it."""
        return path.resolve().is_relative_to(self.path.resolve())


def user_path(text: str) -> Path:
    """Expands `~` in a path that a user wrote, as in a YAML file.

    Raises:
      ConfigError: if there is no such home directory.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: {error} Write the whole path.") from error


def create_run_directory(
    run_dir: str | None, task_name: str, root: Path = Path("runs")
) -> RunDirectory:
    """Makes the directory of a run.

    Args:
      run_dir: the directory, which may exist; `None` for the next free number below
        `root/task_name`, even when several runs start at once.
      task_name: the name of the task.
      root: the folder of all runs.

    Raises:
      ConfigError: if the directory cannot be made or written.
    """
    check_run_directory(run_dir, task_name, root)
    if run_dir is not None:
        user_path(run_dir).mkdir(parents=True, exist_ok=True)
        return RunDirectory(user_path(run_dir))
    parent = root / task_name
    parent.mkdir(parents=True, exist_ok=True)
    matches = (_RUN_PATTERN.fullmatch(entry.name) for entry in parent.iterdir())
    number = max((int(match[1]) for match in matches if match), default=-1) + 1
    while True:
        path = parent / f"run_{number:03d}"
        try:
            path.mkdir()
        except FileExistsError:  # another run took the number in the meantime
            number += 1
        else:
            return RunDirectory(path)


def check_run_directory(run_dir: str | None, task_name: str, root: Path = Path("runs")) -> None:
    """Checks that `create_run_directory` would succeed, and leaves nothing behind.

    Raises:
      ConfigError: with the directory, the obstacle and what to write instead.
    """
    path = user_path(run_dir) if run_dir is not None else root / task_name
    obstacle = _obstacle_to_directory(path)
    if obstacle is not None:
        raise ConfigError(
            f"The run directory {path} cannot be written, because of {obstacle}. "
            "Name a directory that can, as in run_dir=/tmp/my_run."
        )


def obstacle_to_writing(file: Path) -> str | None:
    """Returns the obstacle to writing a file and the folders above it; `None` if there is none.

    Leaves nothing behind.
    """
    if file.is_dir():
        return f"{file}: it is a directory"
    return _obstacle_to_directory(file.parent)


def _obstacle_to_directory(path: Path) -> str | None:
    nearest = path.absolute()
    try:
        while not (nearest.exists() or nearest.is_symlink()):
            nearest = nearest.parent
        tempfile.TemporaryDirectory(prefix=".ksim_", dir=nearest).cleanup()
    except OSError as error:
        reason = "it is no directory" if isinstance(error, NotADirectoryError) else error.strerror
        return f"{nearest}: {reason}"
    return None
