"""Lets runs take turns on one machine: one trains for a while, the others stand still.

The speed of a machine drifts within minutes, and runs that start one after the other meet different
machines. Those that take turns every few seconds meet the same one: the ratio of their speeds in a
round hardly drifts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.training_run import ROOT, env_steps_per_second, read_rows
from ksim.launch.resources import free_loopback_address

ENDLESS = 10**6
_LOOK_SECONDS = 0.05
_STANDS_STILL_SECONDS = 86_400
"""Time after which processes that stand still count as lost: longer than any benchmark lasts."""


@dataclass(frozen=True)
class Layout:
    """Devices, processes and cores of a run."""

    num_devices: int = 1
    """Devices of each process."""
    num_processes: int = 1
    cores: str | None = None
    """Cores that the run may use, as `taskset` takes them; all by default."""


class RunInTurns:
    """Trains in its turns and stands still between them; its first turn compiles.

    The one that makes a run must `end` it.

    Args:
      folder: the folder for the run's directory and compiled programs.
      task: the task's module.
      options: its options.
      layout: devices, processes and cores of the run.
    """

    def __init__(self, folder: Path, task: str, options: list[str], layout: Layout) -> None:
        here = Path(tempfile.mkdtemp(dir=folder))
        self._run, self._output = here / "run", here / "output.txt"
        options = [*options, f"max_steps={ENDLESS}", f"run_dir={self._run}"]
        options.append(f"num_devices={layout.num_devices}")
        pinned = [] if layout.cores is None else ["taskset", "--cpu-list", layout.cores]
        command = [*pinned, sys.executable, "-m", task, *options]
        print("$", " ".join(command), f"({layout.num_processes} process(es))", flush=True)
        with self._output.open("w") as output:
            self._processes = [
                subprocess.Popen(
                    [*command, *shared],
                    cwd=ROOT,
                    env=os.environ | {"XDG_CACHE_HOME": str(folder)},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
                for shared in _options_of_processes(layout.num_processes)
            ]

    def train(self, num_iterations: int) -> float:
        """Trains for a while.

        What was under way when the run was halted is finished first, and one iteration more is
        not counted: it fills the caches of the cores.

        Args:
          num_iterations: how many are counted.

        Returns:
          Environment steps a second, over all devices, by the clock.

        Raises:
          RuntimeError: if the run ended; what it printed says why.
        """
        self._signal(signal.SIGCONT)
        first = len(self._rows()) + 1
        self._wait_for_rows(first + 1 + num_iterations)
        self._signal(signal.SIGSTOP)
        return env_steps_per_second(self._rows()[first : first + 1 + num_iterations])

    def end(self) -> None:
        """Ends the run, wherever it is."""
        self._signal(signal.SIGKILL)
        for process in self._processes:
            process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            process.send_signal(number)

    def _rows(self) -> list[dict[str, Any]]:
        return read_rows(self._run) if (self._run / "metrics.jsonl").exists() else []

    def _wait_for_rows(self, count: int) -> None:
        while len(self._rows()) < count:
            if any(process.poll() is not None for process in self._processes):
                raise RuntimeError(f"A run ended:\n{self._output.read_text()}")
            time.sleep(_LOOK_SECONDS)


def _options_of_processes(num_processes: int) -> list[list[str]]:
    if num_processes == 1:
        return [[]]
    address = free_loopback_address()
    return [
        [
            f"coordinator_address={address}",
            f"num_processes={num_processes}",
            f"process_id={index}",
            f"heartbeat_timeout_seconds={_STANDS_STILL_SECONDS}",
            f"collective_timeout_seconds={_STANDS_STILL_SECONDS}",
        ]
        for index in range(num_processes)
    ]
