"""Reads the command line of the launcher."""

import argparse
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ksim.config import ArgumentParser, ConfigError

_DESCRIPTION = """\
Starts a task in several processes of this machine. Every line that they print is shown with the
number of its process in front. If one fails, all end, and with --max-restarts they start again from
the last checkpoint. Ctrl-C or SIGTERM saves a checkpoint and ends the run.
"""
_EPILOG = """\
Options of the task are written as usual, behind its module. num_devices counts the devices of one
process: --num-processes 2 with num_devices=4 makes 8. GPUs are split evenly, in their order; set
CUDA_VISIBLE_DEVICES to leave some out. num_envs and batch_size count over all processes.

Examples:
  python -m ksim.launch --num-processes 2 examples.walking_distributed num_envs=8 batch_size=4
  python -m ksim.launch --num-processes 4 --max-restarts 3 my_package.my_task max_steps=1000
"""


@dataclass(frozen=True)
class LaunchPlan:
    """Command to start in several processes, and the restarts allowed.

    Attributes:
      module: the task's module, as after `python -m`.
      arguments: options of the task.
      num_processes: number of processes.
      min_processes: least number of processes with which a restart makes do.
      max_restarts: number of times that all are started again after a failure.
    """

    module: str
    arguments: tuple[str, ...]
    num_processes: int
    min_processes: int
    max_restarts: int


def parse_launch(arguments: Sequence[str]) -> LaunchPlan:
    """Returns the plan of a command line.

    Raises:
      ConfigError: if something is missing or impossible.
      SystemExit: with status 0, after `--help`.
    """
    parser = ArgumentParser(
        example="python -m ksim.launch --num-processes 2 examples.cartpole max_steps=10",
        prog="python -m ksim.launch",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--num-processes", type=int, required=True, help="processes to start")
    parser.add_argument(
        "--max-restarts",
        type=int,
        default=0,
        help="how often to start again from the last checkpoint after a failure; default 0",
    )
    parser.add_argument(
        "--min-processes",
        type=int,
        help="start again with fewer processes, down to this number, if a restart gets no further"
        " than the start before; default: never fewer",
    )
    parser.add_argument("module", help="the task's module, as after python -m")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="option=value", help="options of the task"
    )
    parsed = parser.parse_args(arguments)
    least = parsed.num_processes if parsed.min_processes is None else parsed.min_processes
    if parsed.num_processes < 1:
        raise ConfigError(f"--num-processes {parsed.num_processes}: write at least 1.")
    if not 1 <= least <= parsed.num_processes:
        raise ConfigError(
            f"--min-processes {least}: write a number from 1 to {parsed.num_processes}, which"
            " --num-processes says."
        )
    if parsed.max_restarts < 0:
        raise ConfigError(f"--max-restarts {parsed.max_restarts}: write at least 0.")
    if least < parsed.num_processes and "scaling=weak" in parsed.arguments:
        raise ConfigError(
            f"--min-processes {least} with scaling=weak: num_envs would follow the number of"
            " processes, and a checkpoint holds as many environments as it was saved with. Leave"
            " --min-processes out, or write scaling=strong and num_envs over all processes."
        )
    _check_module(parsed.module)
    return LaunchPlan(
        parsed.module, tuple(parsed.arguments), parsed.num_processes, least, parsed.max_restarts
    )


def _check_module(name: str) -> None:
    hint = f" Write {name[:-3].replace('/', '.')}" if name.endswith(".py") else ""
    if "=" in name:
        hint = " The module comes before the options of the task."
    try:
        with _working_directory_searched():
            spec = None if hint else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ConfigError(
            f"{name}: there is no such module here.{hint or ' Is it spelt as after python -m?'}"
        )


@contextmanager
def _working_directory_searched() -> Iterator[None]:
    """Looks for modules where `python -m` does, which a console script does not."""
    before = list(sys.path)
    if not sys.flags.safe_path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before
