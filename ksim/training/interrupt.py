"""Turns Ctrl-C and SIGTERM into a request to stop after the current iteration."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class GracefulStop:
    """Turns SIGINT and SIGTERM into a flag that a loop reads between its iterations.

    The handlers are installed while the context lasts, and only in the main thread, as Python
    demands. SIGINT after a first signal raises `KeyboardInterrupt` at once.

    Attributes:
      requested: the name of the first signal ("SIGINT", "SIGTERM"), or None.
    """

    def __init__(self, announce: Callable[[str], None] = _print_to_stderr) -> None:
        """Takes the function that shows the line which answers the first signal."""
        self.requested: str | None = None
        self._announce = announce
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "GracefulStop":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.getsignal(number) for number in _SIGNALS}
            for number in _SIGNALS:
                signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed by Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.requested = signal.Signals(number).name
        # The signal may have come in the middle of a print to the same stream, which Python
        # answers with a RuntimeError; a closed terminal is an OSError. The flag stands anyway.
        with contextlib.suppress(RuntimeError, OSError, ValueError):
            self._announce("Stopping after this iteration; press Ctrl-C again to stop at once.")
