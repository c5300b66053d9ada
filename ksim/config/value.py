"""The values an option can hold: their types, and how they are written in YAML."""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

_PLAIN_TEXT = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
# Words that YAML 1.1 reads as something other than text.
_RESERVED = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})

_LEADING_ZERO = re.compile(r"([-+]?)0[0_]*([0-9][0-9_]*)")
_WITH_COLONS = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def is_of_type(value: object, annotation: Any) -> bool:
    """Returns whether `value` has the annotated type.

    An int is accepted for a float; a bool is not accepted for a number.

    Args:
      value: any value.
      annotation: a class, a union, or a list or tuple of these.

    Raises:
      TypeError: if the annotation is of another kind.
    """
    origin, members = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return True
    if origin in (Union, UnionType):
        return any(is_of_type(value, member) for member in members)
    if annotation in (int, float):
        return isinstance(value, (int, annotation)) and not isinstance(value, bool)
    if origin is list and isinstance(value, list):
        return all(is_of_type(item, members[0]) for item in value)
    if origin is tuple and isinstance(value, tuple):
        if members[-1:] == (Ellipsis,):
            members = members[:1] * len(value)
        return len(value) == len(members) and all(map(is_of_type, value, members))
    kind = origin or annotation
    if not isinstance(kind, type):
        raise TypeError(
            f"an option cannot have the type {annotation}. Write a class, a list or tuple of them, "
            "or a union such as float | None; for a few allowed values, option(..., choices=...)."
        )
    return isinstance(value, kind)


def is_text_type(annotation: Any) -> bool:
    """Returns whether values of a type are written as text: text, paths, Enum names, or None."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return all(
        member is NoneType
        or (isinstance(member, type) and issubclass(member, (str, PurePath, Enum)))
        for member in members
    )


def type_text(annotation: Any) -> str:
    """Returns the type as the help shows it: `float | null`, `tuple[int, ...]`."""
    origin, members = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " | ".join(map(type_text, members))
    if origin is not None:
        inner = ", ".join("..." if member is Ellipsis else type_text(member) for member in members)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    if annotation is NoneType:
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " | ".join(annotation.__members__)
    return getattr(annotation, "__name__", str(annotation))


def value_text(value: object) -> str:
    """Returns the value as it is written on the command line and in YAML files."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Enum():
            return _quoted_if_needed(value.name)
        case float():
            # The shortest decimal that reads back as the same float; NumPy's are floats too.
            text = repr(float(value))
            return text if "." in text else text.replace("e", ".0e")  # YAML wants the point
        case list() | tuple():
            return f"[{','.join(map(value_text, value))}]"  # a space would part arguments
        case str() | PurePath():
            return _quoted_if_needed(str(value))
        case _:
            return repr(value)


def misread_number_problem(text: str) -> str | None:
    """Returns the reason why YAML 1.1 reads another number than it seems; `None` if it does not.

    `010` is octal there, 8, and `1:30` is 90, to the base of 60.
    """
    if _LEADING_ZERO.fullmatch(text):
        plain = _LEADING_ZERO.sub(r"\1\2", text)
        return f"{text} begins with a 0, which makes a number octal in YAML. Write {plain}"
    if _WITH_COLONS.fullmatch(text):
        return f"{text} is a number to the base of 60 in YAML. Write a number without colons."
    return None


def leaves(value: object) -> Iterator[object]:
    """Yields the elements of (nested) lists and tuples; any other value is its own leaf."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def _quoted_if_needed(text: str) -> str:
    if _PLAIN_TEXT.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    import yaml  # type: ignore[import-untyped]

    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf")).rstrip()
