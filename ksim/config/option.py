"""Options: the fields of a config with a help line, a unit and bounds."""

import copy
import dataclasses
import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from ksim.config.automatic import AUTO_TEXT, Automatic
from ksim.config.nearest import did_you_mean
from ksim.config.value import is_of_type, leaves, type_text, value_text

T = TypeVar("T")


class ConfigError(ValueError):
    """Rejects a config, an override or a config file, and says what to write instead."""


def option(
    default: T,
    *,
    help: str,
    unit: str | None = None,
    choices: Sequence[object] | None = None,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    has_auto: bool = False,
) -> T:
    """Declares an option of a config.

    `num_envs: int = option(64, help="Environments over all devices.", minimum=1)`

    Choices and bounds hold for each element of a list or tuple, and not for None. A subclass that
    gives the option a new default (`num_envs: int = 8`) keeps the rest of the declaration.

    Args:
      default: the default; a mutable one is copied for every config.
      help: one line on the purpose of the option.
      unit: the unit of the value, such as `s` or `environments`.
      choices: the values allowed.
      minimum: the smallest value allowed.
      above: the exclusive lower bound of the values allowed.
      maximum: the largest value allowed.
      has_auto: whether it may be written `auto`, which gives `ksim.config.AUTO`.

    Returns:
      A dataclass field; typed as the default, as `dataclasses.field` is.
    """
    declared = {
        "help": help,
        "unit": unit,
        "choices": None if choices is None else tuple(choices),
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "has_auto": has_auto or None,
    }
    metadata = {"option": {key: value for key, value in declared.items() if value is not None}}
    if isinstance(default, (list, dict, set)):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Option:
    """One option of a config class, with all that its declarations say.

    Attributes:
      name: the name of the field.
      annotation: its type.
      default: its default in the config class; `dataclasses.MISSING` if it has none.
      group: the title of the base-most class that has the field: its docstring's first line.
      help: the purpose of the option; empty for a bare field.
      unit: the unit of the value.
      choices: the values allowed, if they are few.
      minimum: the smallest value allowed.
      above: the exclusive lower bound of the values allowed.
      maximum: the largest value allowed.
      has_auto: whether it may be `AUTO`.
    """

    name: str
    annotation: Any
    default: object
    group: str
    help: str = ""
    unit: str | None = None
    choices: tuple[object, ...] | None = None
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    has_auto: bool = False

    def rules(self) -> list[str]:
        """Returns the choices and bounds in words."""
        return [
            f"{words} {limit}"
            for words, limit in (
                ("one of", self.choices and ", ".join(map(value_text, self.choices))),
                ("at least", self.minimum),
                ("above", self.above),
                ("at most", self.maximum),
            )
            if limit is not None
        ]

    def problem(self, value: object) -> str | None:
        """Returns the rule that the value breaks, as a sentence; `None` if it breaks none."""
        if isinstance(value, Automatic):
            return None if self.has_auto else f"cannot be {AUTO_TEXT}."
        if not is_of_type(value, self.annotation):
            return f"expected {type_text(self.annotation)}."
        for leaf in leaves(value):
            if leaf is None:
                continue
            if self.choices is not None and leaf not in self.choices:
                guess = did_you_mean(str(leaf), map(str, self.choices))
                return f"must be {self.rules()[0]}.{guess}"
            if isinstance(leaf, float) and not math.isfinite(leaf):
                return "must be a finite number."
            if isinstance(leaf, (int, float)) and not self._is_within_bounds(leaf):
                return f"must be {' and '.join(self.rules())}."
        return None

    def error(self, written: str, problem: str, separator: str = "=") -> ConfigError:
        """Returns an error with the value, the problem, and a value that is allowed."""
        example = f"{self.name}{separator}{value_text(self._example())}"
        return ConfigError(f"{self.name}={written}: {problem} Write, for example, {example}")

    def _is_within_bounds(self, number: float) -> bool:
        return (
            (self.minimum is None or number >= self.minimum)
            and (self.above is None or number > self.above)
            and (self.maximum is None or number <= self.maximum)
        )

    def _example(self) -> object:
        above = 0 if self.above is None else self.above
        numbers = (self.minimum, self.maximum, above + 0.5, int(above) + 1)
        others = (True, "some_text", [1], (1,), (1, 1), (1, 1, 1), ("some_text",), ["some_text"])
        candidates = (self.default, *(self.choices or ()), *numbers, *others)
        usable = (c for c in candidates if c is not None and self.problem(c) is None)
        return next(usable, None)


def options_of(config_class: type) -> dict[str, Option]:
    """Returns the options of a config class by name, those of base classes first.

    Where several classes of the hierarchy declare an option, its help, its unit, its choices and
    each bound come from the nearest one that gives them.

    Raises:
      TypeError: if a class of the hierarchy has annotations of its own but no `@dataclass`.
    """
    groups: dict[str, str] = {}
    declared: dict[str, dict[str, Any]] = {}
    for group in filter(dataclasses.is_dataclass, reversed(config_class.__mro__)):
        if "__dataclass_fields__" not in vars(group) and inspect.get_annotations(group):
            raise TypeError(f"Write @dataclass above class {group.__name__}: it adds options.")
        for name, field in declared_fields(group).items():
            groups.setdefault(name, _title(group))
            declared.setdefault(name, {}).update(field.metadata.get("option", {}))
    types = get_type_hints(config_class)
    fields = {field.name: field for field in dataclasses.fields(config_class) if field.init}
    return {
        name: Option(name, types[name], _default(fields[name]), groups[name], **declared[name])
        for name in groups
        if name in fields
    }


def declared_fields(config_class: Any) -> dict[str, dataclasses.Field[Any]]:
    """Returns the fields that the class itself declares: those whose object no base has too."""
    bases = filter(dataclasses.is_dataclass, config_class.__mro__[1:])
    inherited = {id(field) for base in bases for field in dataclasses.fields(base)}
    own = (field for field in dataclasses.fields(config_class) if id(field) not in inherited)
    return {field.name: field for field in own}


def _title(group: type) -> str:
    """Returns the first line of the docstring, or the name of a class that has none."""
    doc = inspect.cleandoc(group.__doc__ or "")
    if not doc or doc.startswith(f"{group.__name__}("):  # written by dataclass()
        return group.__name__
    return doc.splitlines()[0].rstrip(".")


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
