"""How the threads of XLA share the cores of this process.

What is set here is read when JAX starts its devices, and comes too late afterwards.
"""

import os

_DISABLED_PASSES_FLAG = "--xla_disable_hlo_passes"
_TASK_ASSIGNER = "cpu-parallel-task-assigner"


def usable_cores() -> tuple[int, ...]:
    """Returns the processor cores that this process may use, in order."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def num_xla_threads() -> int:
    """Returns how many threads XLA starts: `NPROC`, or one for every core."""
    given = os.environ.get("NPROC", "")
    number = int(given) if given.isdecimal() else 0
    return number or len(usable_cores())


def limit_xla_threads(number: int) -> None:
    """Lets XLA start so many threads, for operations on a CPU and to compile.

    By itself it starts one for every core. The variable `NPROC`, which it reads for their number,
    is left as it is if it is set.
    """
    os.environ.setdefault("NPROC", str(number))


def divide_operations_among_cores(num_devices: int) -> None:
    """Lets devices of a CPU divide their operations only if there are threads to take a part.

    XLA divides a large operation among all its threads, also where each has a device of its own to
    serve. `XLA_FLAGS` has the last word.

    Args:
      num_devices: how many devices compute at the same time.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if num_devices >= num_xla_threads() and _DISABLED_PASSES_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DISABLED_PASSES_FLAG}={_TASK_ASSIGNER}".strip()
