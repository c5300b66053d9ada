"""Ends programs quietly whose reader has gone, as behind `| head -1`."""

import contextlib
import os
import select
import sys
from collections.abc import Iterator

_STATUS = 141  # the status of a program that a broken pipe ended: 128 + SIGPIPE


@contextlib.contextmanager
def quiet_broken_pipe() -> Iterator[None]:
    """Ends the program without a traceback if nobody reads its standard output any more.

    A program that has written all of its output keeps its exit status.

    Raises:
      SystemExit: with status 141, if it had more to write.
      BrokenPipeError: if another pipe is broken, such as the connection to a process.
    """
    try:
        yield
    except BrokenPipeError:
        if not _is_output_lost():
            raise
        raise SystemExit(_STATUS) from None
    finally:
        _drop_lost_output()


def _is_output_lost() -> bool:
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors alone
    return bool(poll.poll(0))


def _drop_lost_output() -> None:
    """Discards output that cannot be written, which Python would write at its very end."""
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
