"""Shows the progress of a run: a live display on a terminal, lines elsewhere."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.text import Text

from ksim.reporting.terminal_logging import logging_to_terminal

_logger = logging.getLogger(__name__)

OnProgress = Callable[[float], None]
"""Callback that takes the share of a phase that is done, from 0 to 1."""

SECONDS_BETWEEN_PROGRESS = 10.0

_SHOWN_METRICS = {
    "throughput/env_steps_per_second": ("env-steps/s", ",.0f"),
    "throughput/parallel_efficiency": ("efficiency", ".0%"),
    "time/update_share": ("in updates", ".0%"),
    "time/communication_share_estimated": ("communicating", ".0%"),
    "episode/return": ("return", ",.2f"),
    "episode/length": ("episode length", ",.1f"),
}


@dataclass
class _Phase:
    """Current activity of a run.

    Attributes:
      name: the activity.
      start: time of its begin, s.
      shown: time of the latest line about it, s.
      share: share of it that is done; `None` if unknown.
    """

    name: str
    start: float
    shown: float
    share: float | None = None

    def seconds_left(self, now: float) -> float | None:
        """Returns the time to its end at the speed so far, s; `None` if unknown."""
        return None if not self.share else (now - self.start) * (1 - self.share) / self.share


class RunStatus:
    """Shows phase, progress and the main metrics of a run; a context manager.

    On a terminal a display stays at the bottom of the screen, below everything printed or logged
    meanwhile. Elsewhere every phase and message is a line, and iterations print one every few
    seconds, always the first and the last. The same lines go to `logging` at INFO. Lost output
    (a closed pipe) never ends a run.
    """

    def __init__(
        self,
        max_steps: int | None = None,
        console: Console | None = None,
        seconds_between_lines: float = 5.0,
        is_shown: bool = True,
    ) -> None:
        """Prepares the status; nothing is shown before the context is entered.

        Args:
          max_steps: iterations of the run; `None` if it has no end.
          console: where to show it, standard output by default.
          seconds_between_lines: least time between two lines about iterations.
          is_shown: false shows only what is logged as a warning or worse.
        """
        self._max_steps = max_steps
        self._console = console or Console()
        self._seconds_between_lines = seconds_between_lines
        self._spinner = Spinner("dots")
        self._phases: tuple[_Phase, ...] = ()
        self._iteration: int | None = None
        self._metrics: Mapping[str, float] = {}
        self._start = self._first_time = self._last_time = time.monotonic()
        self._first_iteration = 0
        self._line_time = -float("inf")
        self._is_line_due = False
        self._is_shown = is_shown
        self._is_output_lost = False
        self._live: Live | None = None
        self._context = contextlib.ExitStack()

    def __enter__(self) -> "RunStatus":
        self._start = time.monotonic()
        if self._is_shown and _is_live(self._console):
            self._live = Live(
                get_renderable=self._render,
                console=self._console,
                redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
            )
            self._context.enter_context(self._live)
        self._context.enter_context(logging_to_terminal(ignored=_logger.name))
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_line_due:
            self._show_iteration()
        self._live = None
        self._context.close()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[OnProgress]:
        """Shows an activity and a clock while the context lasts, then its duration.

        Args:
          name: the activity, such as "compiling the rollout".

        Yields:
          A function that takes the share done. The display shows it; off a terminal, a line every
          `SECONDS_BETWEEN_PROGRESS`.
        """
        start = time.monotonic()
        phase = _Phase(name, start, shown=start)
        self._phases = (*self._phases, phase)
        if self._live is None:
            self.message(f"{name} ...")
        try:
            yield lambda share: self._show_progress(phase, share)
        except BaseException:
            self.message(f"stopped while {name}, after {time.monotonic() - start:.1f} s")
            raise
        finally:
            self._phases = self._phases[:-1]
        self.message(f"{name}: {time.monotonic() - start:.1f} s")

    def update(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Shows the latest iteration.

        Args:
          iteration: iterations completed, counted from 1; `max_steps` is the last.
          metrics: values by name; `throughput/env_steps_per_second`, `episode/return` and
            `episode/length` are shown where they are given.
        """
        now = time.monotonic()
        is_first = self._iteration is None
        if is_first:
            self._first_iteration, self._first_time = iteration, now
        self._iteration, self._metrics, self._last_time = iteration, metrics, now
        self._is_line_due = True
        is_last = self._max_steps is not None and iteration >= self._max_steps
        if is_first or is_last or now - self._line_time >= self._seconds_between_lines:
            self._show_iteration()

    def message(self, text: str) -> None:
        """Prints one line, above the live display if there is one."""
        _logger.info("%s", text)
        if self._is_output_lost or not self._is_shown:
            return
        try:
            if self._live is None:
                print(text, file=self._console.file, flush=True)
            else:
                self._console.print(text, markup=False, highlight=False)
        except (OSError, ValueError) as error:  # a broken pipe, or a closed file
            self._is_output_lost = True
            _logger.warning("The run goes on, but its output is lost: %s", error)

    def _show_progress(self, phase: _Phase, share: float) -> None:
        phase.share, now = share, time.monotonic()
        if self._live is None and share < 1 and now - phase.shown >= SECONDS_BETWEEN_PROGRESS:
            phase.shown = now
            left = phase.seconds_left(now)
            rest = "" if left is None else f", about {left:.0f} s left"
            self.message(f"{phase.name}: {share:.0%} after {now - phase.start:.0f} s{rest}")

    def _show_iteration(self) -> None:
        self._line_time = time.monotonic()
        self._is_line_due = False
        line = "  ".join(f"{label} {value}" for label, value in self._fields())
        if self._live is None:
            self.message(line)
        else:
            _logger.info("%s", line)

    def _fields(self) -> Iterator[tuple[str, str]]:
        """Yields labels and values of the latest iteration."""
        if self._iteration is not None:
            end = "" if self._max_steps is None else f"/{self._max_steps}"
            yield "iteration", f"{self._iteration}{end}"
        for name, (label, form) in _SHOWN_METRICS.items():
            if name in self._metrics:
                yield label, format(float(self._metrics[name]), form)
        yield "elapsed", _clock(time.monotonic() - self._start)
        if (seconds := self._seconds_left()) is not None:
            yield "left", _clock(seconds)

    def _seconds_left(self) -> float | None:
        """Extrapolates the mean duration of the iterations after the first, which may compile."""
        if self._max_steps is None or self._iteration is None:
            return None
        if (done := self._iteration - self._first_iteration) < 1:
            return None
        left = max(self._max_steps - self._iteration, 0)
        return left * (self._last_time - self._first_time) / done

    def _render(self) -> Group:
        phases = self._phases  # read once: this runs in the display's thread
        rows: list = []
        if phases:
            name, now = phases[-1].name, time.monotonic()
            done = "" if phases[-1].share is None else f"  {phases[-1].share:.0%}"
            self._spinner.update(text=f"{name}{done}  {_clock(now - phases[-1].start)}")
            rows.append(self._spinner)
        text = Text()
        for label, value in self._fields():
            text.append(f"{label} ", style="dim").append(f"{value}   ")
        rows.append(text)
        if self._max_steps is not None:
            rows.append(ProgressBar(self._max_steps, self._iteration or 0, width=60))
        return Group(*rows)


def _is_live(console: Console) -> bool:
    """Returns whether the console is a terminal that can redraw lines, not just use colours."""
    return console.is_interactive and console.file.isatty()


def _clock(seconds: float) -> str:
    """Formats seconds as h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
