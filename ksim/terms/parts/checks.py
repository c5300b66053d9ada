"""Checks the numbers that terms are given."""

import math
from collections.abc import Sequence
from typing import Any

Range = tuple[float, float]
"""Lower and upper end of what is drawn or allowed."""


def check_positive(term: object, field: str, example: float) -> None:
    """Raises ValueError unless a field of a term is a finite number above zero.

    Args:
      term: whose field it is; its class is named in the message.
      field: the name of the field.
      example: a usual value, to be written instead.
    """
    value = _number(term, field, example)
    _require(0.0 < value < math.inf, term, field, value, "must be positive", example)


def check_not_negative(term: object, field: str, example: float) -> None:
    """Raises ValueError unless a field of a term is a finite number, zero or above."""
    value = _number(term, field, example)
    _require(0.0 <= value < math.inf, term, field, value, "must not be negative", example)


def check_fraction(term: object, field: str, example: float) -> None:
    """Raises ValueError unless a field of a term lies in [0, 1]."""
    value = _number(term, field, example)
    _require(0.0 <= value <= 1.0, term, field, value, "must lie between 0 and 1", example)


def check_range(term: object, field: str, example: Range, at_least: float = -math.inf) -> None:
    """Raises ValueError unless a field of a term is a pair of finite numbers in ascending order.

    Args:
      term: whose field it is; its class is named in the message.
      field: the name of the field.
      example: a usual range, to be written instead.
      at_least: what the lower end must not be below.
    """
    value = getattr(term, field)
    is_pair = isinstance(value, tuple) and len(value) == 2
    is_valid = is_pair and at_least <= value[0] <= value[1] and math.isfinite(value[1] - value[0])
    rule = "must be (lower, upper) with lower <= upper"
    if math.isfinite(at_least):
        rule += f" and lower >= {at_least:g}"
    if isinstance(value, list):
        rule += ", a tuple"
    _require(is_valid, term, field, value, rule, example)


def check_each(
    values: Sequence[float], asked_by: str, field: str, example: float, is_zero_valid: bool = False
) -> None:
    """Raises ValueError unless all numbers are positive, or zero where that is valid.

    Args:
      values: one number for each joint, say; infinity is valid.
      asked_by: whose numbers they are, as `PositionActuators`.
      field: what the numbers are called.
      example: a usual value, to be written instead.
      is_zero_valid: whether zero is a valid number.
    """
    for value in values:
        if not (value > 0.0 or (is_zero_valid and value == 0.0)):
            rule = "must not be negative" if is_zero_valid else "must be positive"
            raise ValueError(_message(asked_by, field, value, rule, example))


def _number(term: object, field: str, example: float) -> Any:
    """Returns a field of a term that is a number.

    Raises:
      TypeError: if it is something else.
    """
    value = getattr(term, field)
    if value is None or isinstance(value, (str, Sequence)):
        raise TypeError(_message(type(term).__name__, field, value, "must be a number", example))
    return value


def _require(is_valid: bool, term: object, field: str, value: Any, rule: str, example: Any) -> None:
    if not is_valid:
        raise ValueError(_message(type(term).__name__, field, value, rule, example))


def _message(owner: str, field: str, value: Any, rule: str, example: Any) -> str:
    return f"{owner}({field}={value!r}): {field} {rule}. Write {field}={example!r}, for instance."
