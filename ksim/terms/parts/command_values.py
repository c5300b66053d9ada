"""Reads commands by their names."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ksim.config import unknown_name_message
from ksim.terms.parts.lookup import Names
from ksim.terms.term import StepState

SMALLEST_COMMAND = 0.1
"""A command shorter than this, in m/s or rad/s, tells the robot to stand."""


def read_command(
    state: StepState, name: str, asked_by: str, size: int | None = None
) -> Float[Array, "size"]:
    """Returns the value of a command.

    Args:
      state: the state to read.
      name: name of the command.
      asked_by: the class that asks, for the error message.
      size: how many numbers it must have; `None` for any.

    Raises:
      KeyError: if the task has no command of this name.
      ValueError: if it has another size.
    """
    if name not in state.commands:
        message = unknown_name_message(name, state.commands, kind="command", place="in the task")
        raise KeyError(f'{asked_by}(command="{name}"): {message}')
    command = state.commands[name]
    if size is not None and command.shape != (size,):
        raise ValueError(
            f'{asked_by}(command="{name}"): the command has the shape {list(command.shape)}, needed'
            f" is [{size}]. Write the name of a command of that size."
        )
    return command


def is_told_to_move(state: StepState, commands: Names, asked_by: str) -> Bool[Array, ""]:
    """Returns whether one of the commands is longer than `SMALLEST_COMMAND`.

    Args:
      state: the state to read.
      commands: names of commands; with none of them the answer is always yes.
      asked_by: the class that asks, for the error message.

    Raises:
      KeyError: if the task has no command of such a name.
    """
    if not commands:
        return jnp.ones((), dtype=bool)
    lengths = [jnp.linalg.norm(read_command(state, name, asked_by)) for name in commands]
    return jnp.max(jnp.stack(lengths)) > SMALLEST_COMMAND
