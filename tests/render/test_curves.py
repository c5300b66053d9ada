"""The metrics of runs as a picture."""

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from ksim.__main__ import main as ksim_command
from ksim.render.curves import CurvesError, draw_curves, main, read_metrics, smooth


def write_run(path, rows, tail=""):
    path.mkdir(parents=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (path / "metrics.jsonl").write_text(lines + tail)
    return path


def rows(num_rows, slope=1.0):
    return [
        {"iteration": n, "wall_seconds": 6.0 * n, "episode/return": slope * n}
        | ({"eval/episode/return": 2.0 * n} if n == num_rows else {})
        for n in range(1, num_rows + 1)
    ]


def test_metrics_are_read_by_name_and_gaps_are_nan(tmp_path):
    # The last line was cut off by a kill.
    table = read_metrics(write_run(tmp_path / "run", rows(3), tail='{"iteration": 4, "wall'))
    np.testing.assert_array_equal(table["episode/return"], [1, 2, 3])
    np.testing.assert_array_equal(table["eval/episode/return"], [np.nan, np.nan, 6])


def test_time_goes_on_where_a_run_was_continued(tmp_path):
    # Three starts, which ended after 9, 5 and 7 s.
    seconds = [4, 9, 3, 5, 2, 7]
    run = write_run(tmp_path / "run", [{"wall_seconds": each} for each in seconds])
    np.testing.assert_array_equal(read_metrics(run)["wall_seconds"], [4, 9, 12, 14, 16, 21])
    assert read_metrics(write_run(tmp_path / "other", [{"level": 1}])).keys() == {"level"}


def test_smoothing_by_hand():
    # 450 points: windows of three.
    values = np.arange(450.0)
    values[1] = np.nan
    smoothed = smooth(values)
    assert smoothed[0] == 0 and smoothed[1] == (0 + 2) / 2 and smoothed[200] == 200
    np.testing.assert_array_equal(smooth(np.array([1.0, 5.0])), [1, 5])
    assert np.isnan(smooth(np.full(3, np.nan))).all()


def test_a_picture_of_two_runs(tmp_path, capsys):
    runs = [write_run(tmp_path / name, rows(20, slope)) for name, slope in (("a", 1), ("b", -1))]
    main([str(run) for run in runs])
    picture = runs[0] / "curves.png"
    assert f"The curves are {picture}" in capsys.readouterr().out
    both = imageio.imread(picture)
    one = imageio.imread(draw_curves(runs[:1], tmp_path / "new" / "one.png"))
    assert both.ndim == one.ndim == 3 and (both.shape != one.shape or (both != one).any())


def test_what_cannot_be_drawn_is_said(tmp_path, capsys):
    run = write_run(tmp_path / "run", rows(2))
    with pytest.raises(CurvesError, match=r"Metrics: .*episode/return"):
        draw_curves([run], tmp_path / "x.png", ["episode/retrun"])
    with pytest.raises(CurvesError, match="no iteration has finished"):
        read_metrics(write_run(tmp_path / "empty", []))
    with pytest.raises(CurvesError, match="line 1: not JSON"):
        read_metrics(write_run(tmp_path / "bad", rows(1)[:0], tail="x\n{}\n"))
    with pytest.raises(CurvesError, match=r"x\.foo: a picture is a \.png, .*Write .*x\.png"):
        draw_curves([run], tmp_path / "x.foo")
    with pytest.raises(CurvesError, match=r"/dev/null/x\.png cannot be written: "):
        draw_curves([run], Path("/dev/null/x.png"))
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path)])
    assert stopped.value.code == 2
    assert "has no metrics.jsonl. Name a run directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "name"), [(main, "python -m ksim.render.curves"), (ksim_command, "ksim curves")]
)
def test_the_command_has_the_name_that_it_was_called_by(command, name, capsys):
    arguments = ["--help"] if command is main else ["curves", "--help"]
    with pytest.raises(SystemExit):
        command(arguments)
    assert capsys.readouterr().out.startswith(f"usage: {name} ")
