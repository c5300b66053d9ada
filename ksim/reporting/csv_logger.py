"""Writes the metrics of a run as a table."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import SupportsFloat

_FIRST_COLUMNS = ("iteration", "env_steps", "wall_seconds")


class CsvLogger:
    """Writes one row per iteration; a cell is empty where an iteration lacks the metric.

    Columns keep their places: a metric that was not there before becomes the last one. The table is
    written anew then, and only then. Each row is on its way to the disk when `log` returns.
    """

    def __init__(self, path: Path, first_iteration: int = 0) -> None:
        """Opens the table, without the rows that the run is about to write again.

        Args:
          path: the file; it is made, or continued if it exists.
          first_iteration: the first iteration to come. Rows from it on, and a row that a kill left
            unfinished, are removed.
        """
        self._path = path
        columns, rows = _read(path)
        self._columns = columns or list(_FIRST_COLUMNS)
        self._replace([row for row in rows if int(row[0]) < first_iteration])

    def log(
        self,
        iteration: int,
        env_steps: int,
        wall_seconds: float,
        metrics: Mapping[str, SupportsFloat],
    ) -> None:
        """Writes one row; see `MetricsLogger.log`."""
        new = [name for name in metrics if name not in self._columns]
        if new:
            self._columns += new
            self._file.close()
            self._replace(_read(self._path)[1])
        cells = {name: repr(float(value)) for name, value in metrics.items()}
        cells |= zip(_FIRST_COLUMNS, map(str, (iteration, env_steps, wall_seconds)), strict=True)
        self._write([[cells.get(name, "") for name in self._columns]])

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _replace(self, rows: Sequence[Sequence[str]]) -> None:
        """Writes the whole table anew, atomically, and goes on behind it."""
        temporary = self._path.with_name(f".{self._path.name}.writing")
        self._file = temporary.open("w", encoding="utf-8", newline="")
        width = len(self._columns)
        self._write([self._columns, *([*row, *[""] * (width - len(row))] for row in rows)])
        temporary.replace(self._path)

    def _write(self, rows: Iterable[Sequence[str]]) -> None:
        csv.writer(self._file, lineterminator="\n").writerows(rows)
        self._file.flush()


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and the whole rows of a table; nothing if there is none."""
    if not path.exists():
        return [], []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        text = file.read()
    whole = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    columns, rows = whole[0] if whole else [], whole[1:]
    return columns, [row for row in rows if len(row) == len(columns) and row[0].isdecimal()]
