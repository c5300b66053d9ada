"""Commands whose reader leaves early, as `| head -1` does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ksim.reporting.broken_pipe import quiet_broken_pipe

ROOT = Path(__file__).resolve().parents[2]


def run_without_a_reader(arguments, unbuffered=""):
    """Exit status and standard error of Python, its standard output a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(ROOT)}
    with os.fdopen(writing, "wb") as output:
        finished = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return finished.returncode, finished.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command",
    [
        "-m ksim --help",
        "-m ksim --version",
        "-m ksim plan --help",
        "-m ksim.launch --help",
        "-m ksim.render.curves --help",
        "-m examples.cartpole --help",
    ],
)
def test_a_command_ends_without_a_traceback(command, unbuffered):
    status, error = run_without_a_reader(command.split(), unbuffered)
    assert error == ""
    assert status in (0, 141)


def test_what_was_written_keeps_its_status_and_what_was_not_is_a_failure():
    program = """
import sys
from ksim.reporting.broken_pipe import quiet_broken_pipe
with quiet_broken_pipe():
    print("x" * int(sys.argv[1]))
    print("written", file=sys.stderr)
    sys.exit(3)
"""
    # Python's buffer takes 10 characters, and writes a million at once.
    assert run_without_a_reader(["-c", program, "10"]) == (3, "written\n")
    assert run_without_a_reader(["-c", program, "1000000"]) == (141, "")


def test_another_broken_pipe_is_an_error():
    error = BrokenPipeError("the connection to process 1")
    with pytest.raises(BrokenPipeError) as raised, quiet_broken_pipe():
        raise error
    assert raised.value is error
