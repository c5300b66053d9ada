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
        """Gives each inherited option its nearest declaration, before `@dataclass` reads the class.

        `@dataclass` goes through the bases from the farthest to the nearest, and takes from each
        *all* of its fields, inherited ones too. So in

            class Far(Config):      size: int = 1
            class Changed(Far):     size: int = 2
            class Other(Far):       ...               # does not mention size
            class Both(Other, Changed): ...

        `Both` would have size 1 by way of `Other`, although `Both.size` is 2 in Python. The
        declaration that counts is therefore written into the class, as if it were repeated there.

        Raises:
          TypeError: if an option gets a value without an annotation, which would have no effect.
        """
        super().__init_subclass__(**arguments)
        bases = [base for base in reversed(cls.__mro__[1:]) if dataclasses.is_dataclass(base)]
        nearest = {name: base for base in bases for name in declared_fields(base)}
        taken = {field.name: field for base in bases for field in dataclasses.fields(base)}
        own = inspect.get_annotations(cls)
        for name in (name for name in nearest if name not in own):
            declaration = nearest[name].__dataclass_fields__[name]
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__}.{name} has no type, so that it would not set the option. "
                    f"Write {name}: type = default."
                )
            if taken[name] is not declaration:
                # An annotation and a value: all that `@dataclass` reads of a declaration.
                annotation = get_type_hints(nearest[name])[name]
                cls.__annotations__ = {**cls.__annotations__, name: annotation}
                setattr(cls, name, declaration)

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
