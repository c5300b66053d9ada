"""Starts all processes once, and waits until all have ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from ksim.config.launched import LOST_STATUS

# After a failure the others end by themselves; only one that hangs or is stopped needs more.
_SECONDS_TO_END_BY_ITSELF = 10.0
_SECONDS_TO_END_ON_SIGTERM = 5.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Runs the command, its arguments from the second on, in such a way that on Linux the kernel kills
# it when the launcher (the first argument) is gone, however it went. A program of its own rather
# than Popen's preexec_fn, which may stand still for good if the launcher has threads, as JAX does.
_DIE_WITH_THE_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != int(sys.argv[1]):  # it went before the line above
        os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass
class Outcome:
    """Outcome of an attempt.

    Attributes:
      status: the exit status of the first failure, 128 + the signal if one killed it; 0 if none
        failed.
      culprit: the number of the process that failed first; `None` if none did.
      reason: the failure in words.
      stop_signal: the signal that the launcher was sent, if any.
      run_dir: the run's directory, as soon as process 0 has reported it.
      step: iterations in its newest checkpoint.
    """

    status: int = 0
    culprit: int | None = None
    reason: str = ""
    stop_signal: int | None = None
    run_dir: str | None = None
    step: int = 0


@dataclass
class Attempt:
    """Runs the same command in several processes.

    Attributes:
      command: program and arguments.
      environments: the variables of each process.
      report_variable: the variable that gives process 0 the number of the pipe for its reports.
    """

    command: Sequence[str]
    environments: Sequence[Mapping[str, str]]
    report_variable: str
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _readers: list[threading.Thread] = field(default_factory=list)
    _outcome: Outcome = field(default_factory=Outcome)
    _num_signals: int = 0

    def run(self) -> Outcome:
        """Starts the processes, shows what they print, and returns when none is left."""
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            for number in _SIGNALS:
                signal.signal(number, self._forward)
            self._start()
            self._wait()
        finally:
            self._kill_all()
            for thread in self._readers:
                thread.join(timeout=5)
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return self._outcome

    def _start(self) -> None:
        wrapper = (sys.executable, "-I", "-S", "-c", _DIE_WITH_THE_LAUNCHER, str(os.getpid()))
        reading, writing = os.pipe()
        for index, environment in enumerate(self.environments):
            report = {self.report_variable: str(writing)} if index == 0 else {}
            self._processes.append(
                subprocess.Popen(  # noqa: S603
                    (*wrapper, *self.command),
                    env={**environment, **report},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=(writing,) if index == 0 else (),
                    start_new_session=True,  # a Ctrl-C comes to them through the launcher, once
                )
            )
        os.close(writing)
        self._read(self._take_report, os.fdopen(reading, "rb"))
        for index, process in enumerate(self._processes):
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                self._read(_show, source, target, f"[{index}] ")

    def _read(self, function: Any, *arguments: Any) -> None:
        self._readers.append(threading.Thread(target=function, args=arguments, daemon=True))
        self._readers[-1].start()

    def _wait(self) -> None:
        """Waits for all processes; after a failure only for a while."""
        running = dict(enumerate(self._processes))
        failed_at: float | None = None
        has_sent_sigterm = False
        while running:
            for index, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[index]
                _kill_group(process, signal.SIGKILL)  # what it may have started itself
                if process.returncode != 0:
                    failed_at = failed_at or time.monotonic()
                    self._note(index, process.returncode)
            waited = 0.0 if failed_at is None else time.monotonic() - failed_at
            if waited > _SECONDS_TO_END_BY_ITSELF and not has_sent_sigterm:
                has_sent_sigterm = True
                for process in running.values():
                    _kill_group(process, signal.SIGTERM)
            if waited > _SECONDS_TO_END_BY_ITSELF + _SECONDS_TO_END_ON_SIGTERM:
                self._note_those_left(list(running))
                return
            time.sleep(0.05)

    def _note(self, index: int, return_code: int) -> None:
        """Keeps the first failure; one that follows from another counts only if it is alone."""
        known = self._outcome
        if known.status not in (0, LOST_STATUS) or (known.status and return_code == LOST_STATUS):
            return
        known.culprit = index
        if return_code < 0:
            known.status = 128 - return_code
            known.reason = f"process {index} was killed by {signal.Signals(-return_code).name}"
        else:
            known.status = return_code
            known.reason = f"process {index} failed with status {return_code}"

    def _note_those_left(self, indices: list[int]) -> None:
        if self._outcome.status == LOST_STATUS:
            self._outcome.culprit = indices[0]
            names = " and ".join(f"process {index}" for index in indices)
            self._outcome.reason = f"{names} did not answer any more"

    def _kill_all(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                _kill_group(process, signal.SIGKILL)
                process.wait()

    def _forward(self, number: int, frame: Any) -> None:
        """Hands a signal on; after the third one it kills the processes."""
        self._num_signals += 1
        self._outcome.stop_signal = self._outcome.stop_signal or number
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if self._num_signals > 2 else number)

    def _take_report(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                report = json.loads(line)
                self._outcome.run_dir, self._outcome.step = report["run_dir"], report["step"]


def _show(source: IO[bytes], target: Any, prefix: str) -> None:
    """Copies lines as they come, with the number of the process in front."""
    with source:
        for line in source:
            text = prefix + line.decode(errors="replace").rstrip("\r\n") + "\n"
            # The run goes on if nobody reads its output any more.
            with contextlib.suppress(OSError, ValueError):
                target.write(text)
                target.flush()


def _kill_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
