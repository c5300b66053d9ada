"""Locks a run directory: two runs that write the same files spoil both."""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from ksim.config import ConfigError

_LOCK_NAME = ".lock"
# A file server may need this long to notice that a machine which held a lock is gone.
_SECONDS_TO_WAIT_FOR_ANOTHER_MACHINE = 120.0


@contextlib.contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Keeps other runs out of a directory while the context lasts.

    The kernel holds the lock: a killed process leaves the file behind, but not the lock. On a file
    system without locks nothing is locked.

    Args:
      directory: a run's directory, which exists.

    Raises:
      ConfigError: if another run has the lock, with its process and what to write instead.
    """
    path = directory / _LOCK_NAME
    descriptor = _open_locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is locked: then nobody else has locked this file
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    """Opens and locks the lock file, writes this process into it, and returns its descriptor."""
    deadline = time.monotonic() + _SECONDS_TO_WAIT_FOR_ANOTHER_MACHINE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 1000, 0).decode(errors="replace")
            os.close(descriptor)
            is_here = not owner or owner.endswith(f" {socket.gethostname()}")
            if is_here or time.monotonic() > deadline:
                raise _taken(path.parent, owner) from None
            time.sleep(1)
            continue
        except OSError:  # a file system without locks
            return descriptor
        if _is_file(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}".encode(), 0)
            return descriptor
        os.close(descriptor)  # another run has ended, and removed this file, in between


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _taken(directory: Path, owner: str) -> ConfigError:
    return ConfigError(
        f"Another run ({owner or 'which is just starting'}) uses {directory}, and two would spoil"
        f" each other's files. Stop it first, or write another directory, as in"
        f" run_dir={directory}_2"
    )
