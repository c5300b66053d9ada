"""Checks and matches names of a model's parts, as a user gives them."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from ksim.config import unknown_name_message


def check_names(names: Sequence[str], kind: str, asked_by: str) -> tuple[str, ...]:
    """Returns names of parts of a model as a tuple.

    Args:
      names: the names.
      kind: what they name, for the error message, as `joint`.
      asked_by: the class that was given them, for the error message.

    Raises:
      TypeError: if they are a single text, whose letters would be taken for names.
      ValueError: if a name occurs twice.
    """
    if isinstance(names, str):
        raise TypeError(
            f'{asked_by}(..., "{names}"): names come as a tuple or a list. Write ("{names}",).'
        )
    for name in names:
        if list(names).count(name) > 1:
            raise ValueError(f'{asked_by}({kind}="{name}"): named twice. Name each {kind} once.')
    return tuple(names)


def fitting_names(pattern: str, known: Sequence[str]) -> list[str]:
    """Returns the names that a name or a pattern fits, in their order; a name fits only itself.

    In a pattern, `*` stands for any letters, as in a shell.
    """
    return [pattern] if pattern in known else [name for name in known if fnmatchcase(name, pattern)]


def match_names(
    names: Sequence[str], known: Sequence[str], kind: str, asked_by: str
) -> tuple[str, ...]:
    """Returns the names of the parts that `names` stands for.

    A pattern, as in `fitting_names`, stands for all parts that it fits, in the model's order,
    except those that an earlier name already stands for.

    Args:
      names: the names and patterns.
      known: all names that the model has, in its order.
      kind: what they name, for the error message, as `joint`.
      asked_by: the class that was given them, for the error message.

    Raises:
      KeyError: if a name does not exist, or a pattern fits none.
      TypeError: if they are a single text.
      ValueError: if a name occurs twice.
    """
    chosen: dict[str, None] = {}
    for name in check_names(names, kind, asked_by):
        fitting = fitting_names(name, known)
        if not fitting:
            message = unknown_name_message(name, known, kind=kind)
            raise KeyError(f'{asked_by}({kind}="{name}"): {message}')
        chosen |= dict.fromkeys(fitting)
    return tuple(chosen)
