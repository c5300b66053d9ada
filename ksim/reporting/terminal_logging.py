"""Shows log records beside a live display: above it, whole, and once."""

import contextlib
import logging
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def logging_to_terminal(ignored: str | None = None) -> Iterator[None]:
    """Shows warnings on the terminal while the context lasts, through the display if it is live.

    A live display replaces `sys.stdout` and `sys.stderr`; handlers that were made before it hold
    the originals, and would write into its lines. They are given the replacements. If no handler
    writes to the terminal, one for warnings is added.

    Args:
      ignored: a logger whose records below warnings the terminal already shows in another way;
        `None` for none.
    """
    current = {
        id(getattr(stream, "rich_proxied_file", stream)): stream
        for stream in (sys.stdout, sys.stderr)
        if stream is not None
    }
    root = logging.getLogger()
    handlers = [
        (handler, handler.stream)
        for handler in root.handlers
        if isinstance(handler, logging.StreamHandler) and id(handler.stream) in current
    ]
    added = None if handlers or sys.stderr is None else _warning_handler()
    if added is not None:
        root.addHandler(added)

    def is_shown(record: logging.LogRecord) -> bool:
        return record.name != ignored or record.levelno >= logging.WARNING

    for handler, stream in handlers:
        handler.setStream(current[id(stream)])
        handler.addFilter(is_shown)
    try:
        yield
    finally:
        for handler, stream in handlers:
            handler.setStream(stream)
            handler.removeFilter(is_shown)
        if added is not None:
            root.removeHandler(added)


def _warning_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    return handler
