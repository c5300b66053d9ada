"""Gloo, which connects the CPUs of several processes, set up for the machine that it runs on."""

import contextlib
import os
from pathlib import Path
from typing import Any

THREADS = Path("/proc/self/task")


def prepare_gloo(host: str) -> None:
    """Says how JAX is to set up Gloo, once it does; JAX has no options for either.

    Gloo takes by itself the address that the machine's name stands for, which on many systems is
    the loopback: here it takes the network interface that leads to process 0.

    And it has a thread that carries what has come. While another thread sends, this one asks again
    and again whether it may go on; where both share a core it keeps the sender from finishing. So
    it is told not to interrupt others: on 2 cores, two processes average 1 MiB in a fifth of the
    time.

    Args:
      host: the address of this process's network interface.
    """
    from jax._src import xla_bridge

    extension = xla_bridge.xla_client._xla
    make = getattr(extension, "make_gloo_tcp_collectives", None)
    if make is None:
        return

    def make_prepared(*arguments: Any, **options: Any) -> Any:
        before = _threads()
        collectives = make(*arguments, **options | {"hostname": host})
        for thread in _threads() - before:
            let_others_finish(thread)
        return collectives

    extension.make_gloo_tcp_collectives = make_prepared


def let_others_finish(thread: int) -> None:
    """Keeps a thread from interrupting others when it wakes up; it gets its share all the same.

    Nothing happens on systems other than Linux.

    Args:
      thread: its number, as the system counts threads; 0 is the thread that calls.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # it has ended, or the system forbids it
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))


def _threads() -> set[int]:
    """Returns the numbers of this process's threads; none on systems that do not list them."""
    return {int(path.name) for path in THREADS.iterdir()} if THREADS.is_dir() else set()
