"""The processes of a run, as one of them sees them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ksim.parallel.processes.peer import Peer


class ProcessGroup(ABC):
    """The processes of a run.

    What all processes have to decide alike (stop, save, which directory) they decide by an
    `exchange`. All processes must come to the same exchanges in the same order.

    Attributes:
      peers: all processes, in the order of their numbers.
      index: which of them this one is; process 0 alone logs, saves and reports.
    """

    def __init__(self, peers: Sequence[Peer], index: int) -> None:
        self.peers = tuple(peers)
        self.index = index

    @property
    def count(self) -> int:
        """How many processes there are."""
        return len(self.peers)

    @property
    def is_main(self) -> bool:
        """Whether this is process 0."""
        return self.index == 0

    @property
    def peers_on_my_cores(self) -> tuple[Peer, ...]:
        """The processes, this one among them, that share its machine and its processor cores."""
        cores = self.peers[self.index].cores
        return tuple(peer for peer in self.peers_on_my_host if peer.cores == cores)

    @property
    def peers_on_my_host(self) -> tuple[Peer, ...]:
        """The processes, this one among them, that share its machine."""
        me = self.peers[self.index]
        return tuple(p for p in self.peers if (p.host, p.boot) == (me.host, me.boot))

    @abstractmethod
    def exchange(self, tag: str, value: Any, timeout_seconds: float | None = None) -> list[Any]:
        """Gives every process the values of all processes.

        Args:
          tag: what it is about, in words; the same in all processes.
          value: this process's value; JSON data.
          timeout_seconds: how long to wait for the last one after the first has come; `None` for
            the group's own time-out. If it passes, the run ends, naming who did not come.

        Returns:
          One value for each process, in the order of their numbers.
        """

    def from_main(self, tag: str, value: Any) -> Any:
        """Returns the value of process 0, in all processes."""
        return self.exchange(tag, value if self.is_main else None)[0]

    @abstractmethod
    def mark(self, position: str) -> None:
        """Notes how far this process has come, for the message if it goes no further."""

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """Tells the others that this process ends because of `error`; see `end_together`."""

    @abstractmethod
    def leave(self) -> None:
        """Tells the others that this process is done and will not be missed."""


class SingleProcess(ProcessGroup):
    """A run of one process: agrees with itself."""

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
