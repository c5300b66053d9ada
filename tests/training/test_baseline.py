"""The speed of one device alone, of a run that is finished."""

import json

import pytest

from ksim.config import ConfigError
from ksim.config.concerns import RunConfig
from ksim.training.baseline import read_single_device_rate, single_device_rate
from tests.small_cartpole import SMALL_ARGUMENTS, CartPoleTask, small_config

PER_DEVICE = "throughput/env_steps_per_second_per_device"


def write_run(folder, rates, num_devices=1):
    folder.mkdir()
    lines = [
        {"throughput/env_steps_per_second": rate, PER_DEVICE: rate / num_devices} for rate in rates
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def test_the_stored_figure_is_the_median_after_the_first_iteration(tmp_path):
    run = write_run(tmp_path / "run", [1.0, 100.0, 300.0, 120.0])
    assert read_single_device_rate(run) == 120
    assert read_single_device_rate(run / "metrics.jsonl") == 120


@pytest.mark.parametrize(
    ("rates", "num_devices", "message"),
    [
        ([100.0], 1, r"1 iteration\(s\)"),
        ([], 1, r"0 iteration\(s\)"),
        ([100.0, 100.0], 2, "a run on 2 devices"),
    ],
)
def test_a_run_that_is_no_baseline(tmp_path, rates, num_devices, message):
    run = write_run(tmp_path / "run", rates, num_devices)
    with pytest.raises(ConfigError, match=f"{message}.*Name a run with num_devices=1"):
        read_single_device_rate(run)


def test_a_file_without_the_figure(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 1}\n{"iteration": 2}\n')
    with pytest.raises(ConfigError, match="was it written by an older ksim"):
        read_single_device_rate(tmp_path)


def test_a_baseline_that_is_not_there_is_said_before_anything_is_compiled(capsys):
    arguments = [*SMALL_ARGUMENTS, "efficiency_baseline=runs/absent"]
    with pytest.raises(SystemExit):
        CartPoleTask.launch(small_config(), arguments)
    output = capsys.readouterr()
    assert "efficiency_baseline=runs/absent: no metrics.jsonl there." in output.err
    assert "compiling" not in output.out


def test_a_task_for_one_device_compares_with_nothing(tmp_path):
    assert single_device_rate(RunConfig()) is None
    run = write_run(tmp_path / "run", [1.0, 120.0])
    assert single_device_rate(small_config(efficiency_baseline=str(run))) == 120
