"""Names of parts of a model, as a user gives them."""

from collections.abc import Sequence


def check_names(names: Sequence[str], kind: str, asked_by: str) -> tuple[str, ...]:
    """Returns names of parts of a model as a tuple.

    Args:
      names: the names.
      kind: what they name, for the error message, as `joint`.
      asked_by: who was given them, for the error message.

    Raises:
      TypeError: if they are a single text, whose letters would be taken for names.
      ValueError: if a name is there twice.
    """
    if isinstance(names, str):
        raise TypeError(
            f'{asked_by}(..., "{names}"): names come as a tuple or a list. Write ("{names}",).'
        )
    for name in names:
        if list(names).count(name) > 1:
            raise ValueError(f'{asked_by}({kind}="{name}"): named twice. Name each {kind} once.')
    return tuple(names)
