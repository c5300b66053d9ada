"""Acting on the host while the devices learn."""

import dataclasses

import jax

from ksim.config import ConfigError
from ksim.parallel import SingleDevice
from ksim.parallel.processes import current_processes
from ksim.training.program import Program


def overlapped(program: Program) -> Program:
    """Returns the program with the host's CPU to act beside it.

    Raises:
      ConfigError: if there are several processes.
    """
    num_processes = current_processes().count
    if num_processes > 1:
        raise ConfigError(
            f"is_overlapped=true acts in one process, and there are {num_processes}."
            " Write is_overlapped=false, or start one process."
        )
    return dataclasses.replace(program, host=SingleDevice(jax.local_devices(backend="cpu")[0]))
