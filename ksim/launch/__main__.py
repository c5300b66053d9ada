"""The command `python -m ksim.launch`."""

import sys
from collections.abc import Sequence

from ksim.config import ConfigError
from ksim.launch.command import parse_launch
from ksim.launch.restarts import launch
from ksim.reporting.broken_pipe import quiet_broken_pipe


@quiet_broken_pipe()
def main(arguments: Sequence[str] | None = None) -> int:
    """Launches the processes of a command line; returns the exit status."""
    try:
        return launch(parse_launch(sys.argv[1:] if arguments is None else arguments))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
