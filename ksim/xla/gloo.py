"""Sets up Gloo, which connects the CPUs of several processes, for the machine that it runs on.

JAX makes Gloo's collectives when it starts its devices, and has no options for their address and
their thread: a function inside `jaxlib._jax` stands between. It is replaced for the one call
that JAX makes, in processes that ksim connects. Written for jax 0.9.2 and 0.12.0.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from ksim.xla.fallback import warn_of_plain_way

THREADS = Path("/proc/self/task")


def prepare_gloo(host: str) -> None:
    """Prepares the address and the thread that JAX's Gloo is going to have.

    By itself Gloo takes the address of the machine's name, which on many systems is the loopback:
    here it takes the network interface that leads to process 0.

    Its thread delivers received data. While another thread sends, this one keeps polling, and on a
    shared core it keeps the sender from finishing. Kept from interrupting others, two processes on
    2 cores average 1 MiB in a fifth of the time.

    Args:
      host: the address of this process's network interface.
    """
    try:
        from jaxlib import _jax as extension

        make = extension.make_gloo_tcp_collectives
    except (ImportError, AttributeError) as error:
        _warn(error)
        return

    def make_prepared(*arguments: Any, **options: Any) -> Any:
        extension.make_gloo_tcp_collectives = make
        before = _threads()
        try:
            collectives = make(*arguments, **options | {"hostname": host})
        except TypeError as error:
            _warn(error)
            collectives = make(*arguments, **options)
        for thread in _threads() - before:
            let_others_finish(thread)
        return collectives

    extension.make_gloo_tcp_collectives = make_prepared


def let_others_finish(thread: int) -> None:
    """Keeps a thread from interrupting others when it wakes up, without shortening its share.

    Does nothing on systems other than Linux.

    Args:
      thread: its number in the system; 0 is the calling thread.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # it has ended, or the system forbids it
            os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))


def _threads() -> set[int]:
    """Returns the numbers of this process's threads; none on systems that do not list them."""
    return {int(path.name) for path in THREADS.iterdir()} if THREADS.is_dir() else set()


def _warn(error: Exception) -> None:
    warn_of_plain_way(
        f"jaxlib._jax.make_gloo_tcp_collectives(hostname) ({error})",
        "Gloo takes the address of this machine's name; if that is the loopback, processes on"
        " several machines do not find each other",
    )
