"""Draws the metrics of a run, or of several, as a picture.

python -m ksim.render.curves runs/walk/run_000 runs/walk/run_001 --output curves.png
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ksim.reporting.broken_pipe import quiet_broken_pipe

# The metrics that tell most about a run, in this order; those that it has are drawn.
METRICS = (
    "episode/return",
    "episode/length",
    "reward/total",
    "curriculum/level",
    "policy/kl",
    "value/explained_variance",
    "loss/entropy",
    "throughput/env_steps_per_second",
)
FORMATS = (".png", ".svg", ".pdf")
COLUMNS = 4
SMOOTHED_POINTS = 150


class CurvesError(ValueError):
    """Nothing can be drawn; the message says why."""


def read_metrics(run: Path) -> dict[str, np.ndarray]:
    """Returns the metrics of a run by name, `[iterations]` each; NaN where an iteration has none.

    A last line that was cut off by a kill is left out. `wall_seconds` goes on where a run was
    continued, although each start counts from 0 in the file.

    Raises:
      CurvesError: if it is not a run, or has no finished iteration.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise CurvesError(f"{run} has no metrics.jsonl. Name a run directory (runs/.../run_000).")
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise CurvesError(f"{path}, line {number}: not JSON ({error}).") from None
    if not rows:
        raise CurvesError(f"{run}: no iteration has finished yet.")
    names = dict.fromkeys(name for row in rows for name in row)
    table = {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}
    if "wall_seconds" in table:
        table["wall_seconds"] = _continued(table["wall_seconds"])
    return table


def _continued(seconds: np.ndarray) -> np.ndarray:
    """Returns `[n]` times, which begin at 0 again with each start, as one running time."""
    before_restart = np.where(seconds[1:] < seconds[:-1], seconds[:-1], 0.0)
    return seconds + np.concatenate([[0.0], np.cumsum(before_restart)])


def smooth(values: np.ndarray) -> np.ndarray:
    """Returns `[n]` values averaged over about a 150th of the run, NaN left out."""
    width = max(1, len(values) // SMOOTHED_POINTS)
    is_known = np.isfinite(values)
    window = np.ones(width)
    total = np.convolve(np.where(is_known, values, 0.0), window, mode="same")
    count = np.convolve(is_known.astype(float), window, mode="same")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def draw_curves(runs: Sequence[Path], output: Path, metrics: Sequence[str] = METRICS) -> Path:
    """Draws metrics of runs over wall-clock time, one panel each, all runs in every panel.

    Args:
      runs: run directories.
      output: the picture to write, .png, .svg or .pdf.
      metrics: names of metrics; those that no run has are left out.

    Returns:
      `output`.

    Raises:
      CurvesError: if a run has no metrics, no run has any of those named, or the picture is of
        another format or cannot be written.
    """
    if output.suffix not in FORMATS:
        raise CurvesError(
            f"{output}: a picture is a {', '.join(FORMATS)}. Write {output.with_suffix('.png')}."
        )
    tables = {run: read_metrics(run) for run in runs}
    drawn = [name for name in metrics if any(name in table for table in tables.values())]
    if not drawn:
        exist = sorted({name for table in tables.values() for name in table})
        raise CurvesError(f"No run has {', '.join(metrics)}. Metrics: {', '.join(exist)}.")
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.5 * rows), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True)).flatten()
    for panel, name in zip(panels, drawn, strict=False):
        panel.set_title(name, fontsize=10)
        panel.grid(alpha=0.3)
        for run, table in tables.items():
            if name in table:
                panel.plot(table["wall_seconds"] / 60, smooth(table[name]), label=run.name)
    for panel in panels[len(drawn) :]:
        panel.remove()
    for panel in panels[max(0, len(drawn) - columns) : len(drawn)]:
        panel.set_xlabel("minutes")
    if len(runs) > 1:
        panels[0].legend(fontsize=8)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, dpi=110)
    except OSError as error:
        raise CurvesError(f"{output} cannot be written: {error.strerror}.") from error
    return output


@quiet_broken_pipe()
def main(
    arguments: Sequence[str] | None = None, command: str = "python -m ksim.render.curves"
) -> None:
    """Draws the curves of the runs named on the command line.

    Args:
      arguments: the arguments of the command; `None` takes the command line's.
      command: the name of the command in its help.
    """
    parser = argparse.ArgumentParser(
        prog=command, description="Draw the metrics of runs over time."
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument(
        "--output", type=Path, help="picture to write; curves.png in the first run by default"
    )
    parser.add_argument("--metrics", nargs="+", default=METRICS, help="names of metrics")
    options = parser.parse_args(arguments)
    output = options.output or options.runs[0] / "curves.png"
    try:
        print(f"The curves are {draw_curves(options.runs, output, options.metrics)}")
    except (CurvesError, ImportError) as error:
        hint = " Install ksim[render]." if isinstance(error, ImportError) else ""
        print(f"error: {error}{hint}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
