"""Hub of a run: processes register, exchange values, and are reported when lost.

It is a thread of process 0. Every process, process 0 too, has one TCP connection to it. The hub
collects one value of each for an exchange, and sends all of them to all. It expects a message of
each at short intervals; a process whose connection closes or that is silent for too long is lost,
and the hub tells the others. The thread computes nothing. It reads JSON, and never runs what it
reads.
"""

import contextlib
import errno
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ksim.config import ConfigError
from ksim.parallel.processes.peer import Peer, peer_from
from ksim.parallel.processes.wire import ConnectionLostError, Message, ProcessesError, Wire


def beat_interval(heartbeat_timeout: float) -> float:
    """Returns the interval at which a process shows that it lives, s."""
    return min(2.0, heartbeat_timeout / 5)


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens on one address.

    Raises:
      ConfigError: if this machine does not have the address.
      ProcessesError: if the port is taken; it may be free when the run is started again.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        kind = ProcessesError if error.errno == errno.EADDRINUSE else ConfigError
        raise kind(
            f"Process 0 cannot listen on {host}, port {port}: {error.strerror or error}."
            " coordinator_address must name the machine of process 0 and a free port; if process 0"
            " knows itself by another address, write coordinator_bind_address=<that address>."
        ) from error


@dataclass
class _Member:
    wire: Wire
    peer: Peer
    last_heard: float
    has_left: bool = False
    progress: int = 0
    position: str = "the start"


@dataclass
class _Round:
    """An exchange that some processes have come to."""

    tag: str
    deadline: float
    values: dict[int, Any] = field(default_factory=dict)


class Hub:
    """Serves the processes of one run until the last has left."""

    def __init__(
        self,
        listening: socket.socket,
        num_processes: int,
        startup_timeout: float,
        heartbeat_timeout: float,
    ) -> None:
        """Starts to serve, in a thread of its own.

        Args:
          listening: the socket to which the processes connect.
          num_processes: the number of processes to come.
          startup_timeout: longest wait until all are there, s.
          heartbeat_timeout: longest silence of a process, s.
        """
        self._listening = listening
        self._count = num_processes
        self._startup_timeout = startup_timeout
        self._heartbeat_timeout = heartbeat_timeout
        self._members: dict[int, _Member] = {}
        self._strangers: dict[Wire, float] = {}
        self._round: _Round | None = None
        self._has_started = self._has_ended = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="ksim hub", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving, whoever is still connected."""
        self._has_ended = True
        self._thread.join()
        for wire in (*self._strangers, *(member.wire for member in self._members.values())):
            wire.close()

    def _serve(self) -> None:
        start = last_beat = last_look = time.monotonic()
        interval = beat_interval(self._heartbeat_timeout)
        while not self._has_ended:
            for key, _ in self._selector.select(interval / 2):
                if key.fileobj is self._listening:
                    self._accept()
                else:
                    self._read(key.fileobj)
            now = time.monotonic()
            if now - last_look > self._heartbeat_timeout / 2:
                # This process itself was stopped: what the others sent meanwhile comes first.
                for member in self._members.values():
                    member.last_heard = now
            last_look = now
            if now - last_beat >= interval:
                last_beat = now
                self._tell_all({"beat": True})
            self._look_for_the_missing(now, start)
            self._has_ended |= self._has_started and all(
                member.has_left for member in self._members.values()
            )
        # The connections stay: closing one could take back what was sent through it last.
        self._listening.close()
        self._selector.close()

    # Processes that register.

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # a connection that is closed again already
            wire = Wire(self._listening.accept()[0])
            self._strangers[wire] = time.monotonic()
            self._selector.register(wire, selectors.EVENT_READ, wire)

    def _read(self, wire: Any) -> None:
        try:
            messages = wire.receive()
        except ConnectionLostError as error:
            self._drop(wire, str(error))
            return
        for message in messages:
            member = self._member_of(wire)
            if member is not None:
                self._answer(member, message)
            elif wire in self._strangers:
                self._welcome(wire, message)

    def _welcome(self, wire: Wire, message: Message) -> None:
        """Registers a process; the last one starts the run."""
        try:
            peer, count = peer_from(message.get("hello")), message.get("num_processes")
        except ValueError:
            self._forget(wire)
            return
        present = self._members.get(peer.index)
        if count != self._count or not 0 <= peer.index < self._count:
            here = f"process 0 has num_processes={self._count}"
            self._refuse(f"{peer} has num_processes={count}, but {here}. Give all the same.", wire)
        elif present is not None:
            self._refuse(
                f"{peer} has the same process_id={peer.index} as the process with pid"
                f" {present.peer.pid} on {present.peer.host}. Give each process its own.",
                wire,
            )
        else:
            del self._strangers[wire]
            self._members[peer.index] = _Member(wire, peer, time.monotonic())
            if len(self._members) == self._count:
                self._has_started = True
                for member in self._members.values():  # none shows that it lives before it is told
                    member.last_heard = time.monotonic()
                peers = [vars(self._members[index].peer) for index in range(self._count)]
                self._tell_all({"welcome": peers})

    def _refuse(self, reason: str, wire: Wire) -> None:
        """Ends the start for all, since it cannot succeed any more."""
        for each in (wire, *(member.wire for member in self._members.values())):
            with contextlib.suppress(ConnectionLostError):
                each.send({"refused": reason})
        self._has_ended = not self._has_started

    # Messages of registered processes.

    def _answer(self, member: _Member, message: Message) -> None:
        member.last_heard = time.monotonic()
        match message:
            case {"at": str(position)}:
                member.progress += 1
                member.position = position
            case {"exchange": str(tag), "value": value, "timeout": float(timeout)}:
                self._collect(member, tag, value, timeout)
            case {"failed": str(reason)}:
                self._lose(member, f"failed: {reason}{self._those_behind(member)}")
            case {"bye": True}:
                member.has_left = True
                self._selector.unregister(member.wire)

    def _collect(self, member: _Member, tag: str, value: Any, timeout: float) -> None:
        if self._round is None:
            self._round = _Round(tag, time.monotonic() + timeout)
        if self._round.tag != tag:
            self._lose(member, f"came to '{tag}' while others came to '{self._round.tag}'")
            return
        self._round.values[member.peer.index] = value
        if len(self._round.values) == self._count:
            values = [self._round.values[index] for index in range(self._count)]
            self._round = None
            self._tell_all({"values": values, "tag": tag})

    def _those_behind(self, member: _Member) -> str:
        """Returns the processes that are behind a failing one, which may have waited for them."""
        behind = [
            f"; {other.peer} still stood at {other.position}"
            for other in self._members.values()
            if other.progress < member.progress
        ]
        return "".join(behind)

    # Lost processes.

    def _look_for_the_missing(self, now: float, start: float) -> None:
        for wire in [wire for wire, since in self._strangers.items() if now - since > 10]:
            self._forget(wire)
        if not self._has_started:
            if now - start > self._startup_timeout:
                missing = [str(i) for i in range(self._count) if i not in self._members]
                self._tell_all({"overdue": missing})
                self._has_ended = True
            return
        for member in list(self._members.values()):
            silence = now - member.last_heard
            if silence > self._heartbeat_timeout and not member.has_left:
                self._lose(member, f"has been silent for {silence:.0f} s")
        self._look_at_the_round(now)

    def _look_at_the_round(self, now: float) -> None:
        if self._round is None:
            return
        for index, member in self._members.items():
            if index in self._round.values:
                continue
            if member.has_left:
                self._lose(member, f"has ended, and the others wait at '{self._round.tag}'")
                return
            if now > self._round.deadline:
                where = f"it stands at {member.position}, and the others at '{self._round.tag}'"
                self._lose(member, f"lives but does not go on; {where}")
                return

    def _drop(self, wire: Wire, reason: str) -> None:
        member = self._member_of(wire)
        if member is None:
            self._forget(wire)
        elif self._has_started:
            self._lose(member, f"is gone: {reason}")
        else:
            self._forget(wire)
            del self._members[member.peer.index]

    def _lose(self, lost: _Member, reason: str) -> None:
        """Tells all, the lost one last: a run goes on with all of its processes or not at all."""
        for member in sorted(self._members.values(), key=lambda member: member is lost):
            if not member.has_left:
                with contextlib.suppress(ConnectionLostError):
                    member.wire.send({"lost": lost.peer.index, "reason": reason})
        self._has_ended = True

    # Connections.

    def _member_of(self, wire: Wire) -> _Member | None:
        return next((m for m in self._members.values() if m.wire is wire), None)

    def _forget(self, wire: Wire) -> None:
        self._selector.unregister(wire)
        self._strangers.pop(wire, None)
        wire.close()

    def _tell_all(self, message: Message) -> None:
        for member in list(self._members.values()):
            if member.has_left:
                continue
            try:
                member.wire.send(message)
            except ConnectionLostError as error:
                self._drop(member.wire, str(error))
