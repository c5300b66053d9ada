"""Sends JSON objects over a TCP connection, one a line."""

import json
import socket
import threading
from typing import Any

Message = dict[str, Any]

_MAX_LINE_BYTES = 2**24
_SEND_SECONDS = 10.0


class ProcessesError(RuntimeError):
    """The processes of a run do not find together."""


class ConnectionLostError(ConnectionError):
    """The other end is gone, or does not speak ksim's language."""


class Wire:
    """One end of a connection; `send` may be called from several threads, `receive` from one."""

    def __init__(self, connected: socket.socket) -> None:
        """Takes over a connected socket."""
        connected.settimeout(_SEND_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self._sending = threading.Lock()
        self._unread = b""

    def fileno(self) -> int:
        """Returns the socket's number, for `selectors`."""
        return self.socket.fileno()

    def send(self, message: Message) -> None:
        """Sends one message.

        Raises:
          ConnectionLostError: if the other end is gone.
        """
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._sending:
                self.socket.sendall(line)
        except OSError as error:
            raise ConnectionLostError(f"the connection is closed ({error})") from error

    def receive(self) -> list[Message]:
        """Returns the messages that have come; waits for bytes if there are none.

        Raises:
          ConnectionLostError: if the other end is gone, or sends something else.
        """
        try:
            received = self.socket.recv(2**16)
        except OSError as error:
            raise ConnectionLostError(f"the connection is closed ({error})") from error
        if not received:
            raise ConnectionLostError("the connection is closed")
        *lines, self._unread = (self._unread + received).split(b"\n")
        if len(self._unread) > _MAX_LINE_BYTES:
            raise ConnectionLostError("it sends an endless line")
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError as error:
            raise ConnectionLostError("it does not speak ksim's language") from error
        if not all(isinstance(message, dict) for message in messages):
            raise ConnectionLostError("it does not speak ksim's language")
        return messages

    def close(self) -> None:
        """Closes this end."""
        self.socket.close()
