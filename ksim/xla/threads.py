"""Limits the threads that XLA starts, and the operations that it divides among them.

XLA takes a machine as its own: it starts a thread for every core, and divides large operations
among all of them, even if several processes or devices share the cores. It reads `NPROC` and
`XLA_FLAGS` when JAX starts its devices; later settings have no effect. JAX documents
neither `NPROC` nor the name of the pass. Written for jax 0.9.2 and 0.12.0.
"""

import os

from ksim.xla.flags import DISABLED_PASSES, set_default_flag

TASK_ASSIGNER = "cpu-parallel-task-assigner"
"""XLA's pass that divides operations among threads."""


def usable_cores() -> tuple[int, ...]:
    """Returns the processor cores that this process may use, in order."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def num_xla_threads() -> int:
    """Returns the number of threads that XLA starts: `NPROC`, or one for every core."""
    given = os.environ.get("NPROC", "")
    number = int(given) if given.isdecimal() else 0
    return number or len(usable_cores())


def limit_xla_threads(number: int) -> None:
    """Limits the threads of XLA, for operations on a CPU and for compiling.

    `NPROC` is left as it is if it is set.
    """
    os.environ.setdefault("NPROC", str(number))


def divide_operations_among_cores(num_devices: int) -> None:
    """Lets devices of a CPU divide their operations only if there are threads to take a part.

    Args:
      num_devices: number of devices that compute at the same time.
    """
    if num_devices >= num_xla_threads():
        set_default_flag(DISABLED_PASSES, TASK_ASSIGNER)
