"""Writes the metrics and the log of a run to files."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, SupportsFloat, runtime_checkable

_logger = logging.getLogger(__name__)

_THIRD_PARTY = ("absl", "jax", "orbax")


@runtime_checkable
class MetricsLogger(Protocol):
    """Takes the metrics of each iteration of a run."""

    def log(
        self,
        iteration: int,
        env_steps: int,
        wall_seconds: float,
        metrics: Mapping[str, SupportsFloat],
    ) -> None:
        """Writes one iteration.

        Args:
          iteration: number of the iteration.
          env_steps: control steps of the run so far, over all environments and devices.
          wall_seconds: seconds of the run so far.
          metrics: values by name, such as `episode/return`.
        """

    def close(self) -> None:
        """Writes remaining metrics and releases the files."""


class JsonLinesLogger:
    """Writes one flat JSON object per iteration and line; NaN and infinities become `null`.

    Each line is on its way to the disk when `log` returns, so that a killed run loses none.
    """

    def __init__(self, path: Path, first_iteration: int = 0) -> None:
        """Opens the file, without the lines that the run is about to write again.

        Args:
          path: the file; it is made, or continued if it exists.
          first_iteration: the first iteration to come. Lines from it on, and lines that a kill
            left unfinished, are removed.
        """
        if path.exists():
            _keep_lines_before(path, first_iteration)
        self._file = path.open("a", encoding="utf-8")

    def log(
        self,
        iteration: int,
        env_steps: int,
        wall_seconds: float,
        metrics: Mapping[str, SupportsFloat],
    ) -> None:
        """Writes one line; see `MetricsLogger.log`."""
        finite = {
            name: number if math.isfinite(number := float(value)) else None
            for name, value in metrics.items()
        }
        line = {"iteration": iteration, "env_steps": env_steps, "wall_seconds": wall_seconds}
        self._file.write(json.dumps({**line, **finite}, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoardLogger:
    """Writes TensorBoard scalars by iteration and name; NaN and infinities are left out.

    Its arguments are those of `JsonLinesLogger`, with a folder as path.
    """

    def __init__(self, path: Path, first_iteration: int = 0) -> None:
        """Opens a new event file in the folder; it hides older events from `first_iteration` on."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(path), purge_step=first_iteration or None)

    def log(
        self,
        iteration: int,
        env_steps: int,
        wall_seconds: float,
        metrics: Mapping[str, SupportsFloat],
    ) -> None:
        """Writes one scalar per metric; see `MetricsLogger.log`."""
        for name, value in {**metrics, "env_steps": env_steps}.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, float(value), iteration)

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()


def attach_log_file(path: Path) -> logging.Handler:
    """Appends records of `logging` to a file from now on: those of ksim from INFO on.

    Args:
      path: the file, usually `log.txt` of the run directory.

    Returns:
      The handler; its `close()` ends the logging and closes the file.
    """
    ksim_logger = logging.getLogger("ksim")
    handler = _LogFile(path, ksim_logger)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # The libraries below report their inner workings at INFO.
    handler.addFilter(
        lambda record: record.levelno >= logging.WARNING or not record.name.startswith(_THIRD_PARTY)
    )
    logging.getLogger().addHandler(handler)
    if ksim_logger.getEffectiveLevel() > logging.INFO:
        ksim_logger.setLevel(logging.INFO)
    return handler


class _LogFile(logging.FileHandler):
    """Removes itself when it is closed, and restores the level of a logger."""

    def __init__(self, path: Path, logger: logging.Logger) -> None:
        super().__init__(path, encoding="utf-8")
        self._logger, self._level = logger, logger.level

    def close(self) -> None:
        logging.getLogger().removeHandler(self)
        self._logger.setLevel(self._level)
        super().close()


def _keep_lines_before(path: Path, first_iteration: int) -> None:
    """Replaces a metrics file by its whole lines of earlier iterations, atomically."""
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = file.readlines()
    kept = [line for line in lines if _iteration_of(line) < first_iteration]
    if len(kept) == len(lines):
        return
    _logger.info(
        "%s: removed %d lines, unfinished or of iterations from %d on.",
        path,
        len(lines) - len(kept),
        first_iteration,
    )
    temporary = path.with_name(f".{path.name}.writing")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)


def _iteration_of(line: str) -> float:
    """Returns the iteration of a line; infinity if the line is not a whole record."""
    try:
        return json.loads(line)["iteration"] if line.endswith("\n") else math.inf
    except (ValueError, TypeError, KeyError):
        return math.inf
