"""The table of metrics: its columns stay where they are, its rows stand once."""

import csv
import math

import pytest

from ksim.reporting.csv_logger import CsvLogger
from tests.small_cartpole import read_metrics, small_task


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def write(path, iterations, first_iteration=0):
    logger = CsvLogger(path, first_iteration)
    for iteration in iterations:
        logger.log(iteration, 10 * iteration, 0.5 * iteration, {"loss/total": iteration / 4})
    logger.close()


def test_one_row_for_each_iteration_at_once(tmp_path):
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.log(1, 64, 0.5, {"loss/total": 0.25, "a,b": math.nan})
    logger.log(2, 128, 1.0, {"a,b": -math.inf, "loss/total": 3})
    assert read(tmp_path / "metrics.csv") == [
        ["iteration", "env_steps", "wall_seconds", "loss/total", "a,b"],
        ["1", "64", "0.5", "0.25", "nan"],
        ["2", "128", "1.0", "3.0", "-inf"],
    ]
    logger.close()


def test_a_new_metric_is_the_last_column_and_a_missing_one_is_empty(tmp_path):
    logger = CsvLogger(tmp_path / "metrics.csv")
    logger.log(1, 1, 1.0, {"a": 1.0})
    logger.log(2, 2, 2.0, {"eval/return": 5.0, "a": 2.0})
    logger.log(3, 3, 3.0, {})
    logger.close()
    assert [row[3:] for row in read(tmp_path / "metrics.csv")] == [
        ["a", "eval/return"],
        ["1.0", ""],
        ["2.0", "5.0"],
        ["", ""],
    ]


def test_no_row_stands_twice_after_a_resume_and_none_is_missing(tmp_path):
    path = tmp_path / "metrics.csv"
    write(path, range(1, 6))
    with path.open("a") as file:
        file.write("6,60,3")  # killed in the midst of a row
    write(path, range(4, 8), first_iteration=4)
    assert [row[0] for row in read(path)] == ["iteration", *map(str, range(1, 8))]
    assert list(tmp_path.iterdir()) == [path]
    write(path, [1])
    assert [row[0] for row in read(path)] == ["iteration", "1"]


@pytest.mark.parametrize("content", ["", "iteration,env_st"])
def test_a_table_that_hardly_began_begins_again(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    write(path, [1])
    assert [row[0] for row in read(path)] == ["iteration", "1"]


def test_a_run_that_goes_on_has_the_same_rows_as_metrics_jsonl(tmp_path):
    options = {"num_devices": 1, "run_dir": str(tmp_path / "run"), "has_metrics_csv": True}
    small_task(max_steps=2, **options).run()
    small_task(max_steps=4, **options).run()
    header, *rows = read(tmp_path / "run" / "metrics.csv")
    assert header[:3] == ["iteration", "env_steps", "wall_seconds"]
    lines = read_metrics(tmp_path / "run")
    assert [line["iteration"] for line in lines] == [1, 2, 3, 4]
    for row, line in zip(rows, lines, strict=True):
        found = {name: float(cell) for name, cell in zip(header, row, strict=True) if cell}
        assert found == {name: pytest.approx(value) for name, value in line.items()}


def test_no_table_unless_it_is_asked_for(tmp_path):
    small_task(max_steps=1, num_devices=1, run_dir=str(tmp_path / "run")).run()
    assert not (tmp_path / "run" / "metrics.csv").exists()
