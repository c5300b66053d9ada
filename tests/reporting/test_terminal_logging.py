import contextlib
import io
import logging
import sys

from rich.console import Console
from rich.live import Live

from ksim.reporting.terminal_logging import logging_to_terminal

logger = logging.getLogger("ksim.test")


@contextlib.contextmanager
def bare_root():
    """The root logger as a program finds it, without pytest's own handlers."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield root
    finally:
        root.handlers = handlers
        root.setLevel(level)


def test_without_a_handler_warnings_are_shown(capsys):
    file_handler = logging.StreamHandler(io.StringIO())
    with bare_root() as root:
        root.addHandler(file_handler)
        with logging_to_terminal(ignored="x"):
            logger.warning("only %d device", 1)
            logger.info("detail")
        assert root.handlers == [file_handler]
    assert capsys.readouterr() == ("", "WARNING: only 1 device\n")


def test_the_users_handler_is_kept_and_shows_a_line_once(capsys):
    with bare_root():
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s|%(message)s")
        with logging_to_terminal(ignored="ksim.test"):
            logger.info("shown by the status")
            logger.warning("lost output")
            logging.getLogger("ksim.other").info("detail")
        logger.info("after")
    assert capsys.readouterr().err == "WARNING|lost output\nINFO|detail\nINFO|after\n"


def test_lines_go_above_a_live_display(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console(file=terminal, force_terminal=True, width=80)
    with bare_root() as root:
        handler = logging.StreamHandler()
        root.addHandler(handler)
        with Live("display", console=console, auto_refresh=False), logging_to_terminal(ignored="x"):
            assert handler.stream is sys.stderr is not terminal
            logger.warning("careful")
            logger.warning("again")
    assert handler.stream is terminal
    # Before each line the display is erased (CSI 2K), after it the display is drawn again.
    assert terminal.getvalue().count("display") == 4
    assert "\x1b[2Kcareful\n" in terminal.getvalue().replace("\r", "")


def test_works_without_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    with bare_root() as root, logging_to_terminal(ignored="x"):
        assert root.handlers == []
