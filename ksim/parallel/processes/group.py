"""The processes of a run, as one of them sees them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ksim.parallel.processes.peer import Peer


class ProcessGroup(ABC):
    """The processes of a run.

    Decisions that must be the same in all (stop, save, which directory) are made by an `exchange`.
    All processes must come to the same exchanges in the same order.

    Attributes:
      peers: all processes, in the order of their numbers.
      index: number of this process; process 0 alone logs, saves and reports.
    """

    def __init__(self, peers: Sequence[Peer], index: int) -> None:
        self.peers = tuple(peers)
        self.index = index

    @property
    def count(self) -> int:
        """Number of processes."""
        return len(self.peers)

    @property
    def is_main(self) -> bool:
        """True in process 0."""
        return self.index == 0

    @property
    def peers_on_my_cores(self) -> tuple[Peer, ...]:
        """Processes, this one included, that share its machine and its processor cores."""
        cores = self.peers[self.index].cores
        return tuple(peer for peer in self.peers_on_my_host if peer.cores == cores)

    @property
    def peers_on_my_host(self) -> tuple[Peer, ...]:
        """Processes, this one included, that share its machine."""
        me = self.peers[self.index]
        return tuple(p for p in self.peers if (p.host, p.boot) == (me.host, me.boot))

    @abstractmethod
    def exchange(self, tag: str, value: Any, timeout_seconds: float | None = None) -> list[Any]:
        """Gives every process the values of all processes.

        Args:
          tag: the subject in words; the same in all processes.
          value: this process's value; JSON data.
          timeout_seconds: longest wait for the last process after the first has come; `None` for
            the group's own time-out. Then the run ends, naming the processes that did not come.

        Returns:
          One value for each process, in the order of their numbers.
        """

    def from_main(self, tag: str, value: Any) -> Any:
        """Returns the value of process 0, in all processes."""
        return self.exchange(tag, value if self.is_main else None)[0]

    @abstractmethod
    def mark(self, position: str) -> None:
        """Notes the progress of this process, for the message if it goes no further."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Tells the others that this process ends because of `error`."""

    @abstractmethod
    def leave(self) -> None:
        """Tells the others that this process is done and no longer needed."""


class SingleProcess(ProcessGroup):
    """A run of one process, which agrees with itself."""

    def __init__(self) -> None:
        super().__init__((Peer(0),), 0)

    def exchange(self, tag: str, value: Any, timeout_seconds: float | None = None) -> list[Any]:
        """See `ProcessGroup.exchange`."""
        return [value]

    def mark(self, position: str) -> None:
        """See `ProcessGroup.mark`."""

    def fail(self, error: BaseException) -> None:
        """See `ProcessGroup.fail`."""

    def leave(self) -> None:
        """See `ProcessGroup.leave`."""
