"""Ends a process when the run cannot go on without another one.

A process that waits in a collective for a lost one cannot be woken, and JAX's own shutdown waits
minutes for it. So the process reports the loss, and ends at once: checkpoints are whole or absent
at any moment.
"""

import contextlib
import logging
import os
import sys
import threading

from ksim.config.launched import LOST_STATUS

_logger = logging.getLogger(__name__)
_is_ending = threading.Lock()


def end_because_of_loss(message: str) -> None:
    """Shows the message and ends the process; does not return."""
    if not _is_ending.acquire(blocking=False):
        threading.Event().wait()  # another thread ends the process already
    # A log that is locked or a pipe that is full must not keep the process.
    threading.Timer(5.0, os._exit, (LOST_STATUS,)).start()
    line = f"error: {message} The run ends here; it continues from its last checkpoint.\n"
    with contextlib.suppress(OSError):
        os.write(2, line.encode())
    _logger.info("%s", line.strip())  # the run's log file takes it; the terminal has it already
    end_at_once(LOST_STATUS)


def end_at_once(status: int) -> None:
    """Flushes the output and ends the process, without JAX's shutdown."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if stream.isatty():
                stream.write("\x1b[?25h")  # a live display hides the cursor
            stream.flush()
    os._exit(status)
