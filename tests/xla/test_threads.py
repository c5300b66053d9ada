"""Threads that XLA starts in each of several processes on one machine."""

import os

import pytest

from ksim.parallel.processes.group import ProcessGroup
from ksim.parallel.processes.peer import Peer
from ksim.parallel.processes.runtime import share_cores
from ksim.xla.threads import num_xla_threads
from tests.xla.subprocesses import run_python


class Group(ProcessGroup):
    """Processes on their cores, of which this is the first."""

    def __init__(self, *cores):
        super().__init__([Peer(index, cores=mine) for index, mine in enumerate(cores)], 0)

    def exchange(self, tag, value, timeout_seconds=None):
        raise NotImplementedError

    def mark(self, position):
        raise NotImplementedError

    def fail(self, error):
        raise NotImplementedError

    def leave(self):
        raise NotImplementedError


@pytest.mark.parametrize(
    "cores, num_threads",
    [
        ([(0, 1), (0, 1)], "1"),
        ([(0, 1, 2, 3)] * 2, "2"),
        ([(0, 1)] * 4, "1"),
        ([(0, 1), (2, 3)], None),  # somebody has dealt them out already
        ([(0, 1)], None),
    ],
)
def test_threads_of_xla(monkeypatch, cores, num_threads):
    monkeypatch.delenv("NPROC", raising=False)
    share_cores(Group(*cores))
    assert os.environ.get("NPROC") == num_threads
    monkeypatch.delenv("NPROC", raising=False)


def test_the_users_own_number_stays(monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    share_cores(Group((0, 1), (0, 1)))
    assert os.environ["NPROC"] == "3"


COUNT_THREADS = """
import os
import jax
before = len(os.listdir("/proc/self/task"))
jax.jit(lambda x: x + 1)(1).block_until_ready()
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are not listed")  # noqa: PTH112
def test_xla_reads_the_number():
    """XLA has two pools of so many threads, and some that are always there."""
    counts = [int(run_python(COUNT_THREADS, NPROC=number)[0]) for number in ("2", "9")]
    assert counts[1] - counts[0] >= 7


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("NPROC", "5")
    assert num_xla_threads() == 5
    monkeypatch.setenv("NPROC", "many")
    monkeypatch.setattr("ksim.xla.threads.usable_cores", lambda: (0, 3, 4))
    assert num_xla_threads() == 3
