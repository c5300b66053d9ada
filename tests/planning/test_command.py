"""`ksim plan`, and what it is given."""

import pytest

from ksim.__main__ import main
from ksim.planning import read_measurement
from tests.planning.runs import workload, write_run
from tests.planning.test_cost_model import MODEL


@pytest.fixture
def runs(tmp_path):
    folders = []
    for index, num_envs in enumerate((32, 256, 64)):
        load = workload(num_envs=num_envs)
        cost = MODEL.predict(load)
        folder = tmp_path / f"run_{index}"
        folders.append(write_run(folder, load, cost.rollout_seconds, cost.update_seconds))
    return [str(folder) for folder in folders]


def test_a_plan(runs, capsys):
    assert main(["plan", *runs[:2], "--check", runs[2], "--devices", "1", "64"]) == 0
    output = capsys.readouterr().out
    assert "A control step takes 1e+03 us, and 10 us for each environment" in output
    held_out = next(line for line in output.splitlines() if "held out" in line)
    assert runs[2] in held_out
    assert held_out.endswith("+0.0%")
    assert "Predicted, with 50 us from device to device and 0.1 GB/s" in output
    last = output.splitlines()[-1].split()
    assert last[:2] == ["64", "1,024"]


def test_another_network(runs, capsys):
    options = ["--latency-us", "2", "--bandwidth-gb", "25", "--grad-compression", "int8"]
    assert main(["plan", runs[0], *options]) == 0
    output = capsys.readouterr().out
    assert "2 us from device to device and 25 GB/s" in output
    assert "counted as 0" in output  # one run does not tell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan"], "Write, for example: ksim plan runs/"),
        (["plan", "nowhere"], "nowhere has no workload.json. Name the directory of a run"),
        (["plan", "{run}", "--device-speed", "0"], "--device-speed 0.0: write a number above 0"),
        (["plan", "{run}", "--devices", "-1"], "--devices -1: write a number above 0"),
        (["plan", "{run}", "--scaling", "both"], "invalid choice"),
        (["plam"], 'Did you mean "plan"'),
    ],
)
def test_wrong_input(arguments, message, runs, capsys):
    assert main([argument.format(run=runs[0]) for argument in arguments]) == 2
    assert message in capsys.readouterr().err


def test_one_device_does_not_tell_of_communication(tmp_path, capsys):
    run = write_run(tmp_path / "run", workload(num_devices=1), 0.1, 0.1)
    assert main(["plan", str(run)]) == 2
    assert "write --latency-us 5 --bandwidth-gb 25" in capsys.readouterr().err


def test_iterations_that_fill_caches_do_not_count(tmp_path):
    run = write_run(tmp_path / "run", workload(), 0.25, 0.5)
    measurement = read_measurement(run)
    assert (measurement.rollout_seconds, measurement.update_seconds) == (0.25, 0.5)
    assert measurement.workload == workload()


def test_a_run_that_is_too_short(tmp_path, capsys):
    run = write_run(tmp_path / "run", workload(), 0.25, 0.5, iterations=4)
    assert main(["plan", str(run)]) == 2
    assert "4 iteration(s) are too few" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"platform": "cpu"}', '{"traffic": 1}'])
def test_a_damaged_workload(text, runs, tmp_path, capsys):
    (tmp_path / "run_0" / "workload.json").write_text(text)
    assert main(["plan", runs[0]]) == 2
    assert "is not the workload of a run of this version" in capsys.readouterr().err


def test_help(capsys):
    assert main([]) == 0
    assert "predict how fast a task trains" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["plan", "--help"])
    assert stop.value.code == 0
    assert "--bandwidth-gb" in capsys.readouterr().out
