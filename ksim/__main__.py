"""The command `ksim`, or `python -m ksim`."""

import sys
from collections.abc import Callable, Sequence

import ksim
from ksim.config import ConfigError, unknown_name_message
from ksim.reporting.broken_pipe import quiet_broken_pipe

_HELP = """\
usage: ksim COMMAND ...
       ksim --version

Commands (each has --help):
  launch   start a task in several processes of this machine
  plan     predict how fast a task trains on more devices than are at hand
  curves   draw the metrics of runs over time

A task is started by its module: python -m examples.walking num_envs=64
"""


@quiet_broken_pipe()
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h"):
        print(_HELP, end="")
        return 0
    if name == "--version":
        print(f"ksim {ksim.__version__}")
        return 0
    try:
        if name not in _COMMANDS:
            message = unknown_name_message(name, list(_COMMANDS), kind="command", place="in ksim")
            raise ConfigError(f"ksim {name}: {message}")
        return _COMMANDS[name](rest)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _launch(arguments: Sequence[str]) -> int:
    from ksim.launch.__main__ import main as launch

    return launch(arguments)


def _plan(arguments: Sequence[str]) -> int:
    from ksim.planning.command import run_plan

    run_plan(arguments)
    return 0


def _curves(arguments: Sequence[str]) -> int:
    from ksim.render.curves import main as draw

    draw(arguments, command="ksim curves")
    return 0


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "launch": _launch,
    "plan": _plan,
    "curves": _curves,
}


if __name__ == "__main__":
    sys.exit(main())
