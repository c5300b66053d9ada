"""How many threads XLA starts in each of several processes on one machine."""

import os

import pytest

from ksim.parallel.processes.group import ProcessGroup
from ksim.parallel.processes.peer import Peer
from ksim.parallel.processes.runtime import share_cores


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
