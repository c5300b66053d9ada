import io
import logging
import os
import pty
import subprocess
import sys

import pytest
from rich.console import Console

from ksim.reporting import status as status_module
from ksim.reporting.status import RunStatus

METRICS = {
    "throughput/env_steps_per_second": 12345.6,
    "episode/return": 3.14159,
    "episode/length": 20.0,
    "loss/value": 1.0,
}


class Clock:
    """Replaces `time.monotonic`; moves only when told."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(status_module, "time", clock)
    return clock


def run(clock, max_steps, updates, **options):
    """The lines of a run with `updates`, a list of (seconds since the last one, iteration)."""
    output = io.StringIO()
    with RunStatus(max_steps, Console(file=output), **options) as status:
        for seconds, iteration in updates:
            clock.now += seconds
            status.update(iteration, METRICS)
    return output.getvalue().splitlines()


def test_a_line_names_progress_speed_and_time(clock):
    lines = run(clock, 10, [(60, 1), (30, 4)])
    assert lines == [
        "iteration 1/10  env-steps/s 12,346  return 3.14  episode length 20.0  elapsed 0:01:00",
        # Iterations 2 to 4 took 30 s, 10 s each; 6 are left.
        "iteration 4/10  env-steps/s 12,346  return 3.14  episode length 20.0  elapsed 0:01:30  "
        "left 0:01:00",
    ]


def test_time_left_of_a_resumed_run_counts_its_own_iterations(clock):
    lines = run(clock, 1000, [(60, 901), (20, 911)])
    assert lines[1].endswith("left 0:02:58")  # 89 iterations of 2 s


def test_without_an_end_there_is_no_time_left(clock):
    lines = run(clock, None, [(1, 1), (9, 2)])
    assert lines[1].startswith("iteration 2  ") and "left" not in lines[1]


def test_first_and_last_lines_and_few_between(clock):
    lines = run(clock, 9, [(1, i) for i in range(1, 10)], seconds_between_lines=4.0)
    assert [line.split()[1] for line in lines] == ["1/9", "5/9", "9/9"]
    with RunStatus(2, Console(file=(output := io.StringIO()))) as status:
        status.update(1, METRICS)
        status.update(2, METRICS)
        status.message("done")
    assert [line.split()[0] for line in output.getvalue().splitlines()][1:] == ["iteration", "done"]
    lines = run(clock, 99, [(1, i) for i in range(1, 4)])  # stopped early
    assert [line.split()[1] for line in lines] == ["1/99", "3/99"]


def test_phases_tell_how_long_they_took(clock, capsys):
    with RunStatus() as status:
        with status.phase("compiling the rollout"):
            clock.now += 12.34
            with status.phase("building the model"):
                clock.now += 1
        status.message("[bold]done[/bold]")
    assert capsys.readouterr().out.splitlines() == [
        "compiling the rollout ...",
        "building the model ...",
        "building the model: 1.0 s",
        "compiling the rollout: 13.3 s",
        "[bold]done[/bold]",
    ]


def test_progress_is_a_line_now_and_then(clock, capsys):
    with RunStatus() as status, status.phase("evaluating the policy") as on_progress:
        for share in (0.1, 0.2, 0.3, 0.4):  # every 6 s
            clock.now += 6
            on_progress(share)
        clock.now += 60
        on_progress(1.0)
    assert capsys.readouterr().out.splitlines() == [
        "evaluating the policy ...",
        # 12 s for a fifth; 24 s for two.
        "evaluating the policy: 20% after 12 s, about 48 s left",
        "evaluating the policy: 40% after 24 s, about 36 s left",
        "evaluating the policy: 84.0 s",
    ]


def test_progress_from_nothing_has_no_time_left(clock, capsys):
    with RunStatus() as status, status.phase("drawing the film") as on_progress:
        clock.now += 11
        on_progress(0.0)
    assert "drawing the film: 0% after 11 s" in capsys.readouterr().out.splitlines()


def test_errors_pass_through(clock):
    output = io.StringIO()
    status = RunStatus(None, Console(file=output))
    with pytest.raises(KeyError), status, status.phase("saving the state"):
        raise KeyError
    assert output.getvalue().splitlines() == [
        "saving the state ...",
        "stopped while saving the state, after 0.0 s",
    ]


def test_lines_are_also_logged(clock, caplog):
    caplog.set_level(logging.INFO, "ksim")
    lines = run(clock, 2, [(1, 1), (1, 2)])
    assert caplog.messages == lines


def test_closed_output_is_reported_once_and_the_run_goes_on(clock, caplog):
    output = io.StringIO()
    console = Console(file=output)
    with RunStatus(None, console) as status:
        output.close()
        status.message("one")
        status.message("two")
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "its output is lost: I/O operation on closed file" in caplog.text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_live_display_on_a_terminal(clock):
    console = Console(file=Terminal(), force_terminal=True, width=120, color_system=None)
    with RunStatus(10, console) as status, status.phase("compiling the rollout") as on_progress:
        clock.now += 61
        status.update(1, METRICS)
        clock.now += 1
        status.update(2, METRICS)
        status._live.refresh()
        status.message("hello")
        on_progress(0.25)
        status._live.refresh()
    output = console.file.getvalue()
    assert "compiling the rollout  0:01:02" in output
    assert "compiling the rollout  25%  0:01:02" in output and "after" not in output
    assert "iteration 2/10   env-steps/s 12,346   return 3.14   episode length 20.0" in output
    assert "elapsed 0:01:02   left 0:00:08" in output
    assert "hello" in output and "compiling the rollout: 62.0 s" in output
    assert output.endswith("\x1b[?25h")  # the cursor is shown again


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"FORCE_COLOR": "1"}])
def test_no_live_display_without_a_capable_terminal(variables):
    file = Terminal() if "TERM" in variables else io.StringIO()
    with RunStatus(10, Console(file=file, _environ=variables)) as status:
        status.message("hello")
    assert file.getvalue() == "hello\n"


PROGRAM = """
import logging, sys, time
logging.basicConfig(format="%(levelname)s: %(message)s")
from ksim.reporting.status import RunStatus
with RunStatus(3) as status:
    with status.phase("compiling the rollout"):
        time.sleep(0.6)
    for i in range(1, 4):
        logging.getLogger("ksim").warning("careful %d", i)
        status.update(i, {"episode/return": i})
        status.message(f"message {i}")
        time.sleep(0.05)
    if sys.argv[1] == "fail":
        1 / 0
"""


def test_on_a_real_terminal_lines_stay_whole_and_tracebacks_come_last():
    reader, terminal = pty.openpty()
    arguments = [sys.executable, "-c", PROGRAM, "fail"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHON_COLORS": "0"}
    with subprocess.Popen(arguments, stdout=terminal, stderr=terminal, env=environment) as run:
        os.close(terminal)
        output = b""
        while True:
            try:
                output += os.read(reader, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
    os.close(reader)
    assert run.returncode == 1
    text = output.decode().replace("\r", "")
    assert "compiling the rollout  0:00:00" in text and "compiling the rollout: 0.6 s" in text
    for i in (1, 2, 3):
        assert f"WARNING: careful {i}\n" in text and f"message {i}\n" in text
    end = text.rpartition("\x1b[?25h")[2]
    assert end.lstrip().startswith("Traceback") and end.endswith("division by zero\n")


def test_a_reader_that_leaves_does_not_end_the_run():
    arguments = f"{sys.executable} -c '{PROGRAM}' ok | head -n 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", arguments], capture_output=True, text=True)
    assert result.stdout == "compiling the rollout ...\n"
    assert result.returncode == 0
    assert "Traceback" not in result.stderr and "Exception ignored" not in result.stderr
    assert "careful 3" in result.stderr
    assert "WARNING: The run goes on, but its output is lost" in result.stderr


def test_a_process_other_than_the_first_shows_warnings_alone(clock, capsys):
    output = io.StringIO()
    with RunStatus(2, Console(file=output), is_shown=False) as status:
        with status.phase("compiling the rollout"):
            status.message("a message")
        status.update(1, METRICS)
        logging.getLogger("ksim").warning("something is wrong")
    assert output.getvalue() == ""
    assert capsys.readouterr().err == "WARNING: something is wrong\n"
