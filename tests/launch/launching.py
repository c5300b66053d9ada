"""Runs the launcher, finds its processes, and waits for what they do."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.small_cartpole import SMALL_ARGUMENTS, read_metrics

REPOSITORY = Path(__file__).parents[2]
MODULE = "tests.launch.breakable_cartpole"


def shell_variables(cache):
    """Those of a shell in which nobody has set anything up; compiled programs are shared."""
    dropped = ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    variables = {name: value for name, value in os.environ.items() if name not in dropped}
    return variables | {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(cache)}


def start_launcher(
    variables,
    folder,
    *arguments,
    num_processes=2,
    options=(),
    module=MODULE,
    task_arguments=SMALL_ARGUMENTS,
):
    """Starts `python -m ksim.launch`; its output goes to a file in the folder."""
    command = [sys.executable, "-m", "ksim.launch", "--num-processes", str(num_processes)]
    with (Path(folder) / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [*command, *options, module, *task_arguments, *arguments],
            cwd=folder,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def output_of(folder):
    return (Path(folder) / "output.txt").read_text()


def pids_of(launcher):
    """The processes of a launcher, by their number in the run."""
    pids = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (entry / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError, ValueError):
            continue  # it has ended meanwhile
        numbers = [v.split(b"=")[1] for v in variables if v.startswith(b"KSIM_PROCESS_ID=")]
        if parent == launcher.pid and numbers:
            pids[int(numbers[0])] = int(entry.name)
    return pids


def is_alive(pid):
    """Whether there is such a process, and it is no zombie."""
    try:
        state = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition, launcher=None, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert launcher is None or launcher.poll() is None, "the launcher has ended"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_iterations(run_dir, count, launcher):
    path = run_dir / "metrics.jsonl"
    wait_for(lambda: path.exists() and len(read_metrics(run_dir)) >= count, launcher)
