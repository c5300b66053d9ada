"""Connects a process to the others, and ends it when one of them is lost."""

import contextlib
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from ksim.config import ConfigError
from ksim.parallel.processes.group import ProcessGroup
from ksim.parallel.processes.hub import beat_interval
from ksim.parallel.processes.peer import Peer, peer_from
from ksim.parallel.processes.wire import ConnectionLostError, Message, ProcessesError, Wire

# When a peer is killed JAX raises here, a moment before or after the hub names it.
_SECONDS_TO_HEAR_WHO_WAS_LOST = 1.0

# The beginning of an error of JAX's runtime, as in "UNKNOWN: Gloo AllGather failed".
_STATUS = re.compile("(ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|UNKNOWN): ")


def connect(
    host: str,
    port: int,
    index: int,
    num_processes: int,
    startup_timeout: float,
    heartbeat_timeout: float,
    exchange_timeout: float,
    on_lost: Callable[[str], None],
) -> "Member":
    """Meets the other processes at the hub; returns when all are there.

    Args:
      host: the machine of process 0, by name or number.
      port: the port on which its hub listens.
      index: the number of this process.
      num_processes: the number of processes.
      startup_timeout: longest wait for the others, s.
      heartbeat_timeout: longest silence of the hub, s.
      exchange_timeout: longest wait of the first for the last in an exchange, s.
      on_lost: called with a message, in the watching thread, when a process is lost; it does not
        return if it ends this process.

    Raises:
      ProcessesError: if they are not all there in time.
      ConfigError: if this process contradicts others.
    """
    deadline = time.monotonic() + startup_timeout
    wire = Wire(_reach(host, port, index, deadline, startup_timeout))
    me = Peer(index)
    try:
        wire.send({"hello": vars(me), "num_processes": num_processes})
        answer, *rest = _first_answer(wire, deadline + 2 * beat_interval(heartbeat_timeout))
        match answer:
            case {"welcome": list(peers)}:
                members = [peer_from(peer) for peer in peers]
                member = Member(wire, members, index, heartbeat_timeout, exchange_timeout, on_lost)
                for message in rest:
                    member.take(message)
                return member
            case {"refused": str(reason)}:
                raise ConfigError(reason)
            case {"overdue": list(missing)}:
                raise ProcessesError(
                    f"Waited {startup_timeout:.0f} s for all {num_processes} processes; process(es)"
                    f" {', '.join(map(str, missing))} did not come. Have they started, and do they"
                    f" reach {host}, port {port}? startup_timeout_seconds sets the time."
                )
        raise ConnectionLostError("it does not speak ksim's language")
    except (ConfigError, ProcessesError):
        wire.close()
        raise
    except ConnectionLostError as error:
        wire.close()
        raise ProcessesError(
            f"Process {index} reached {host}, port {port}, but not process 0 of this run: {error}."
            " Is the coordinator_address right, and does process 0 still run?"
        ) from error


class Member(ProcessGroup):
    """A process that is connected to the hub."""

    def __init__(
        self,
        wire: Wire,
        peers: list[Peer],
        index: int,
        heartbeat_timeout: float,
        exchange_timeout: float,
        on_lost: Callable[[str], None],
    ) -> None:
        """Takes over a connection to a hub that has welcomed all; `connect` makes one."""
        super().__init__(peers, index)
        self._wire = wire
        self._heartbeat_timeout = heartbeat_timeout
        self._exchange_timeout = exchange_timeout
        self._on_lost = on_lost
        self._news = threading.Condition()
        self._values: dict[str, list[Any]] = {}
        self._loss: str | None = None
        self._is_failing = self._is_leaving = self._has_left = False
        self._thread = threading.Thread(target=self._watch, name="ksim watch", daemon=True)
        self._thread.start()

    @property
    def own_host(self) -> str:
        """Address of the network interface that leads to process 0."""
        return self._wire.socket.getsockname()[0]

    def exchange(self, tag: str, value: Any, timeout_seconds: float | None = None) -> list[Any]:
        """See `ProcessGroup.exchange`."""
        timeout = self._exchange_timeout if timeout_seconds is None else timeout_seconds
        with contextlib.suppress(ConnectionLostError):  # the watch hears of it too, and says more
            self._wire.send({"exchange": tag, "value": value, "timeout": float(timeout)})
        with self._news:
            # No time-out here: the hub has one, and knows who is missing.
            self._news.wait_for(lambda: tag in self._values or self._loss is not None)
            if self._loss is not None:
                raise ProcessesError(self._loss)
            return self._values.pop(tag)

    def mark(self, position: str) -> None:
        """See `ProcessGroup.mark`."""
        with contextlib.suppress(ConnectionLostError):
            self._wire.send({"at": position})

    def fail(self, error: BaseException) -> None:
        """See `ProcessGroup.fail`.

        If another process is the cause, this one ends here: JAX only says that a connection broke.
        """
        with self._news:
            self._is_failing = True
            self._news.wait_for(lambda: self._loss is not None, _SECONDS_TO_HEAR_WHO_WAS_LOST)
            loss = self._loss
        if loss is not None and (isinstance(error, ProcessesError) or _is_from_jax(error)):
            self._on_lost(loss)
        text = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        with contextlib.suppress(ConnectionLostError):
            self._wire.send({"failed": text[:500]})
        with self._news:  # the hub may live in this process, and end with it: all must have heard
            self._news.wait_for(lambda: self._loss is not None, _SECONDS_TO_HEAR_WHO_WAS_LOST)

    def leave(self) -> None:
        """See `ProcessGroup.leave`."""
        self._is_leaving = True  # from now on nobody is missed
        with contextlib.suppress(ConnectionLostError):
            self._wire.send({"bye": True})
        self._has_left = True

    def close(self) -> None:
        """Leaves, and waits until the watch has ended."""
        self.leave()
        self._thread.join()

    # The watching thread.

    def _watch(self) -> None:
        with contextlib.closing(self._wire), selectors.DefaultSelector() as selector:
            selector.register(self._wire, selectors.EVENT_READ)
            self._watch_with(selector)

    def _watch_with(self, selector: selectors.BaseSelector) -> None:
        interval = beat_interval(self._heartbeat_timeout)
        last_heard = last_look = time.monotonic()
        last_beat = 0.0
        while not self._has_left and self._loss is None:
            try:
                # What has come is read before anybody is missed: this process may have been asleep.
                if selector.select(interval / 2):
                    messages = self._wire.receive()
                    last_heard = time.monotonic()
                    for message in messages:
                        self.take(message)
                now = time.monotonic()
                if now - last_beat >= interval:
                    last_beat = now
                    self._wire.send({"beat": True})
            except ConnectionLostError as error:
                self._lose(0, f"is gone: {error}")
                return
            if now - last_look > self._heartbeat_timeout / 2:
                last_heard = now
            last_look = now
            if now - last_heard > self._heartbeat_timeout:
                self._lose(0, f"has been silent for {now - last_heard:.0f} s")

    def take(self, message: Message) -> None:
        """Acts on a message of the hub."""
        match message:
            case {"values": list(values), "tag": str(tag)}:
                with self._news:
                    self._values[tag] = values
                    self._news.notify_all()
            case {"lost": int(index), "reason": str(reason)} if 0 <= index < self.count:
                self._lose(index, reason)

    def _lose(self, index: int, reason: str) -> None:
        with self._news:
            if self._is_leaving or self._loss is not None:
                return
            who = str(self.peers[index])
            self._loss = f"{who[0].upper()}{who[1:]} {reason}."
            is_failing = self._is_failing
            self._news.notify_all()
        if not is_failing:  # else the main thread ends the process, and asks for the loss
            self._on_lost(self._loss)


def _reach(host: str, port: int, index: int, deadline: float, timeout: float) -> socket.socket:
    """Connects to the hub, which may not listen yet."""
    while True:
        try:
            return socket.create_connection((host, port), timeout=5.0)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ProcessesError(
                    f"Process {index} could not reach process 0 at {host}, port {port}, within"
                    f" {timeout:.0f} s: {error.strerror or error}. Does process 0 run, and does"
                    " coordinator_address name its machine? startup_timeout_seconds sets the time."
                ) from error
        time.sleep(0.1)


def _first_answer(wire: Wire, deadline: float) -> list[Message]:
    """Waits for the hub's first word, which comes when all processes are there."""
    with selectors.DefaultSelector() as selector:
        selector.register(wire, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if selector.select(0.5):
                messages = [m for m in wire.receive() if "beat" not in m]
                if messages:
                    return messages
    raise ConnectionLostError("it does not answer")


def _is_from_jax(error: BaseException) -> bool:
    """Returns whether an error is one of JAX's runtime, which raises some as `ValueError`."""
    is_status = isinstance(error, ValueError) and _STATUS.match(str(error)) is not None
    return is_status or type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
