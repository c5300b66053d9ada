"""Counts the memory that a compiled program takes on a device."""

import dataclasses
from typing import Any

import jax

from ksim.training.compilation import CompiledProgram, GatheringRollout
from ksim.xla.key_data import is_key


@dataclasses.dataclass(frozen=True)
class ProgramMemory:
    """Bytes that an iteration takes on one device, as the compiler counts them.

    Native MuJoCo's own simulations, which lie outside JAX, are not counted.

    Attributes:
      train_state: parameters, optimizer state, observation statistics.
      environments: states of the device's environments.
      remembered: the algorithm's memory of them.
      rollout: arguments, results and temporary arrays of a rollout, and the memory that waits.
      update: the same of an update, and the environments that wait.
    """

    train_state: int
    environments: int
    remembered: int
    rollout: int
    update: int

    @property
    def peak(self) -> int:
        """The larger of both phases: the memory that the device must have."""
        return max(self.rollout, self.update)


def program_memory(
    compiled: CompiledProgram, train_state: Any, env_state: Any, memory: Any
) -> ProgramMemory:
    """Returns the memory that a compiled program takes on a device.

    Args:
      compiled: the program.
      train_state: the train state, in the partitioner's layout.
      env_state: the environments, in the partitioner's layout.
      memory: the algorithm's memory, in the partitioner's layout.
    """
    state, environments = bytes_on_device(train_state), bytes_on_device(env_state)
    remembered = bytes_on_device(memory)
    acting = compiled.rollout
    if isinstance(acting, GatheringRollout):
        # Whole parameters are made beside the shards, which stay.
        rollout = max(_bytes_of(acting.gather), state + _bytes_of(acting.rollout))
    else:
        rollout = _bytes_of(acting)
    return ProgramMemory(
        train_state=state,
        environments=environments,
        remembered=remembered,
        rollout=rollout + remembered,
        update=_bytes_of(compiled.update) + environments,
    )


def bytes_on_device(tree: Any) -> int:
    """Returns the bytes that the arrays of a pytree take on the first of their own devices."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        words = jax.random.key_data(leaf) if is_key(leaf) else leaf
        total += words.addressable_data(0).nbytes
    return total


def _bytes_of(compiled: Any) -> int:
    """Returns the bytes of one compiled function, whose results may reuse its arguments."""
    statistics = compiled.memory_analysis()
    return int(
        statistics.argument_size_in_bytes
        + statistics.output_size_in_bytes
        + statistics.temp_size_in_bytes
        - statistics.alias_size_in_bytes
    )
