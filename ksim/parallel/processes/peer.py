"""Describes the processes that take part in a run."""

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from ksim.xla.threads import usable_cores


@dataclass(frozen=True)
class Peer:
    """One process of a run, as it presents itself.

    Attributes:
      index: its number, from 0.
      host: the name of its machine.
      boot: an id that differs between machines of the same name; empty if the system has none.
      pid: its number there.
      cores: the processor cores that it may use, in order.
    """

    index: int
    host: str = field(default_factory=socket.gethostname)
    boot: str = field(default_factory=lambda: _boot_id())
    pid: int = field(default_factory=os.getpid)
    cores: tuple[int, ...] = field(default_factory=usable_cores)

    def __str__(self) -> str:
        return f"process {self.index} ({self.host}, pid {self.pid})"


def peer_from(message: object) -> Peer:
    """Returns the peer that a message describes.

    Raises:
      ValueError: if it does not describe a peer.
    """
    match message:
        case {
            "index": int(index),
            "host": str(host),
            "boot": str(boot),
            "pid": int(pid),
            "cores": list(cores),
        } if all(isinstance(core, int) for core in cores):
            return Peer(index, host[:255], boot, pid, tuple(cores))
    raise ValueError("not the description of a process")


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
