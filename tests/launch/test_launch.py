"""The launcher by itself, with programs that need no JAX."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ksim.config import ConfigError
from ksim.config.launched import LOST_STATUS
from ksim.launch import parse_launch
from ksim.launch.attempt import Attempt
from ksim.launch.resources import split_gpus
from ksim.launch.restarts import arguments_to_continue
from tests.launch.launching import REPOSITORY, wait_for

REPORT = "REPORT_FD"


def attempt(*programs):
    """Runs one small program in each process."""
    environments = [{**os.environ, "PROGRAM": program} for program in programs]
    command = [sys.executable, "-c", "import os; exec(os.environ['PROGRAM'])"]
    return Attempt(command, environments, REPORT).run()


def test_every_line_has_the_number_of_its_process_in_front(capfd):
    outcome = attempt("print('one\\ntwo')", "import sys; print('three', file=sys.stderr)")
    assert (outcome.status, outcome.culprit) == (0, None)
    output, errors = capfd.readouterr()
    assert output == "[0] one\n[0] two\n"
    assert errors == "[1] three\n"


def test_one_that_fails_ends_all(monkeypatch):
    monkeypatch.setattr("ksim.launch.attempt._SECONDS_TO_END_BY_ITSELF", 0.2)
    outcome = attempt("import time; time.sleep(600)", "import sys; sys.exit(7)")
    assert (outcome.status, outcome.culprit) == (7, 1)
    assert outcome.reason == "process 1 failed with status 7"


def test_one_that_heeds_no_signal_is_killed(monkeypatch):
    monkeypatch.setattr("ksim.launch.attempt._SECONDS_TO_END_BY_ITSELF", 0.2)
    monkeypatch.setattr("ksim.launch.attempt._SECONDS_TO_END_ON_SIGTERM", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    assert attempt(deaf, "import time, sys; time.sleep(1); sys.exit(3)").status == 3


def test_the_culprit_is_not_who_ended_because_of_it():
    slow = f"import time; time.sleep({{}}); import os; os._exit({LOST_STATUS})"
    outcome = attempt(slow.format(0), "import time, sys; time.sleep(1); sys.exit(5)")
    assert (outcome.status, outcome.culprit) == (5, 1)
    assert attempt(slow.format(0), slow.format(0)).status == LOST_STATUS


def test_a_signal_is_named():
    outcome = attempt("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert (outcome.status, outcome.reason) == (137, "process 0 was killed by SIGKILL")


def test_one_that_is_stopped_is_the_culprit(monkeypatch):
    monkeypatch.setattr("ksim.launch.attempt._SECONDS_TO_END_BY_ITSELF", 0.2)
    monkeypatch.setattr("ksim.launch.attempt._SECONDS_TO_END_ON_SIGTERM", 0.2)
    stopped = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    outcome = attempt(f"import os, time; time.sleep(1); os._exit({LOST_STATUS})", stopped)
    assert (outcome.status, outcome.culprit) == (LOST_STATUS, 1)
    assert outcome.reason == "process 1 did not answer any more"


def test_process_0_reports_where_the_run_is():
    report = '{"run_dir": "/there", "step": 4}\\n'
    program = f"import os; os.write(int(os.environ['{REPORT}']), b'{report}')"
    outcome = attempt(program, f"import os; assert '{REPORT}' not in os.environ")
    assert (outcome.status, outcome.run_dir, outcome.step) == (0, "/there", 4)


def write_module(folder, name, text):
    (folder / f"{name}.py").write_text(text)


def launch(folder, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "ksim.launch", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}", "JAX_PLATFORMS": "cpu"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    )


RUN_UNTIL_STEP_3 = """
import json, os, sys
number, count = int(os.environ["KSIM_PROCESS_ID"]), int(os.environ["KSIM_NUM_PROCESSES"])
print("arguments", *sys.argv[1:])
options = dict(argument.split("=") for argument in sys.argv[1:])
done = int(options.get("run_dir", "0"))
if number == 0:
    report = json.dumps({"run_dir": str(done + 1), "step": done + 1}) + "\\n"
    os.write(int(os.environ["KSIM_LAUNCH_REPORT_FD"]), report.encode())
sys.exit(9 if done < 2 and number == 0 else 0)
"""


def test_a_restart_continues_the_run(tmp_path):
    write_module(tmp_path, "steps", RUN_UNTIL_STEP_3)
    arguments = ["--num-processes", "2", "--max-restarts", "2", "steps", "load_from_ckpt_path=x"]
    process = launch(tmp_path, *arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "[1] arguments load_from_ckpt_path=x\n" in output
    assert "[1] arguments load_from_ckpt_path=null run_dir=2\n" in output
    assert "[launch] process 0 failed with status 9." in output
    assert "[launch] restart 2 of 2, 2 process(es), from iteration 2 of 2." in output


def test_the_status_of_the_first_failure(tmp_path):
    write_module(tmp_path, "steps", RUN_UNTIL_STEP_3)
    process = launch(tmp_path, "--num-processes", "2", "--max-restarts", "1", "steps")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 9, output


ONLY_A_PAIR_RUNS = """
import os, sys
print("one of", os.environ["KSIM_NUM_PROCESSES"])
sys.exit(0 if os.environ["KSIM_NUM_PROCESSES"] == "2" else 4)
"""


def test_fewer_processes_if_a_restart_does_not_help(tmp_path):
    write_module(tmp_path, "pair", ONLY_A_PAIR_RUNS)
    arguments = ["--num-processes", "6", "--min-processes", "2", "--max-restarts", "3", "pair"]
    process = launch(tmp_path, *arguments)
    output, _ = process.communicate(timeout=60)
    # 6, once more 6, then 3 (which divides 6), and then 2 does not divide 3: 3 again.
    assert process.returncode == 4
    assert [output.count(f"one of {count}\n") for count in (6, 3, 2)] == [12, 6, 0]
    arguments[1:4:2] = ["4", "2"]
    process = launch(tmp_path, *arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [output.count(f"one of {count}\n") for count in (4, 2)] == [8, 2]


def test_a_wrong_option_is_not_tried_again(tmp_path):
    write_module(tmp_path, "wrong", "import sys; print('started'); sys.exit(2)")
    process = launch(tmp_path, "--num-processes", "1", "--max-restarts", "5", "wrong")
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output.count("started")) == (2, 1)


ENDS_ON_A_SIGNAL = """
import os, pathlib, signal, sys, time
number = os.environ["KSIM_PROCESS_ID"]
def handle(received, frame):
    print("received", signal.Signals(received).name)
    sys.exit(0)
for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, handle)
pathlib.Path(f"ready{number}").write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_go_to_all_and_end_the_run(number, tmp_path):
    write_module(tmp_path, "patient", ENDS_ON_A_SIGNAL)
    process = launch(tmp_path, "--num-processes", "2", "--max-restarts", "3", "patient")
    wait_for(lambda: len(list(tmp_path.glob("ready?"))) == 2, process)
    time.sleep(0.1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    for index in (0, 1):
        assert f"[{index}] received {number.name}\n" in output
    assert "restart" not in output


def test_a_run_goes_on_from_its_own_checkpoint_or_where_it_began():
    given = ["num_envs=4", "run_dir=a", "load_from_ckpt_path=b"]
    after = ["num_envs=4", "load_from_ckpt_path=null", "run_dir=a"]
    assert arguments_to_continue(given, "a", 7) == after
    # Without a checkpoint of its own it begins at the one that was named.
    assert arguments_to_continue(given, "a", 0) == [
        "num_envs=4",
        "load_from_ckpt_path=b",
        "run_dir=a",
    ]


def test_gpus_are_split_evenly():
    four = {"CUDA_VISIBLE_DEVICES": "0,2,4,6"}
    assert [share["CUDA_VISIBLE_DEVICES"] for share in split_gpus(2, four)] == ["0,2", "4,6"]
    assert split_gpus(1, four) == [{}]
    assert split_gpus(3, four | {"JAX_PLATFORMS": "cpu"}) == [{}] * 3
    assert split_gpus(2, {"CUDA_VISIBLE_DEVICES": ""}) == [{}] * 2
    with pytest.raises(ConfigError) as caught:
        split_gpus(3, four)
    assert "4 GPU(s) do not split evenly over 3 processes" in str(caught.value)
    assert "set CUDA_VISIBLE_DEVICES=0,2,4" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["examples.cartpole"], "--num-processes. Write, for example: python -m ksim.launch"),
        (["--num-processes", "2"], "module"),
        (["--num-processes", "0", "examples.cartpole"], "write at least 1"),
        (["--num-processes", "two", "examples.cartpole"], "invalid int value"),
        (["--num-processes", "2", "--max-restarts", "-1", "examples.cartpole"], "at least 0"),
        (["--num-processes", "2", "--min-processes", "3", "examples.cartpole"], "from 1 to 2"),
        (
            ["--num-processes", "2", "--min-processes", "1", "examples.cartpole", "scaling=weak"],
            "Leave --min-processes out",
        ),
        (["--num-processes", "2", "examples.cartpol"], "no such module"),
        (["--num-processes", "2", "examples/cartpole.py"], "Write examples.cartpole"),
        (["--num-processes", "2", "num_envs=4", "examples.cartpole"], "comes before the options"),
    ],
)
def test_a_command_line_that_cannot_be(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse_launch(arguments)


def test_a_command_line():
    plan = parse_launch(["--num-processes", "2", "examples.cartpole", "num_envs=8", "--help"])
    assert plan.arguments == ("num_envs=8", "--help")
    assert (plan.num_processes, plan.min_processes, plan.max_restarts) == (2, 2, 0)


def test_a_task_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_own_task.py").write_text("")
    monkeypatch.chdir(tmp_path)
    # A console script searches its own folder, and not the working directory.
    paths = [path for path in sys.path if path not in ("", str(tmp_path))]
    monkeypatch.setattr(sys, "path", paths)
    assert parse_launch(["--num-processes", "2", "my_own_task"]).module == "my_own_task"
    assert sys.path == paths
