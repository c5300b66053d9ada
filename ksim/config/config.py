"""The base class of all configs."""

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any, get_type_hints

from ksim.config.option import declared_fields, options_of
from ksim.config.value import value_text


@dataclass
class Config:
    """The base of all configs: flat dataclasses of options that inherit from each other.

    A class adds the options of its own concern, with `option` or as bare fields:

        @dataclass
        class WalkingConfig(PPOConfig):
            num_envs: int = 2048  # a new default
            my_param: float = 1.0

    In a diamond of classes an option has the default of the nearest class that gives one, in the
    order in which Python also looks up methods.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Settles which base each inherited option comes from, before `@dataclass` sees it.

        `@dataclass` itself takes over all fields of one base after the other, inherited ones
        included, so that a base that never mentions an option would bring back a default that
        another base has replaced.

        Raises:
          TypeError: if an option gets a value without an annotation, which would have no effect.
        """
        super().__init_subclass__(**arguments)
        bases = [base for base in cls.__mro__[1:] if dataclasses.is_dataclass(base)]
        nearest: dict[str, Any] = {}  # the class whose declaration of the option counts
        taken: dict[str, Any] = {}  # the field that @dataclass would take
        for base in reversed(bases):
            nearest.update(dict.fromkeys(declared_fields(base), base))
            taken.update({field.name: field for field in dataclasses.fields(base)})
        own = inspect.get_annotations(cls)
        for name, base in nearest.items():
            field = base.__dataclass_fields__[name]
            if name in vars(cls) and name not in own:
                raise TypeError(
                    f"{cls.__name__}.{name} has no type, so that it would not set the option. "
                    f"Write {name}: type = default."
                )
            if taken[name] is not field and name not in own:
                cls.__annotations__ = {**cls.__annotations__, name: get_type_hints(base)[name]}
                setattr(cls, name, field)

    def validate(self) -> None:
        """Checks every option by itself: its type, its bounds, its choices.

        A subclass adds the rules of its own concern after `super().validate()`.

        Raises:
          ConfigError: if a value breaks a rule; it says what to write instead.
        """
        for name, option in options_of(type(self)).items():
            value = getattr(self, name)
            problem = option.problem(value)
            if problem is not None:
                raise option.error(value_text(value), problem)
