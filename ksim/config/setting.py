"""Settings: values that a user wrote for options, and their typed merge into a config."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeVar

from ksim.config.automatic import AUTO, AUTO_TEXT
from ksim.config.config import Config
from ksim.config.nearest import did_you_mean
from ksim.config.option import ConfigError, Option
from ksim.config.value import (
    is_of_type,
    is_text_type,
    leaves,
    misread_number_problem,
    type_text,
    value_text,
)

ConfigType = TypeVar("ConfigType", bound=Config)


@dataclass(frozen=True)
class Setting:
    """One value for one option.

    Attributes:
      option: the option.
      written: the text after `name=` on the command line, or the value that YAML gave.
      place: its place in a file, as `walk.yaml, line 3: `; empty for the command line.
      words: the unquoted values and elements, as they stand in the file; the command line's follow
        from `written`.
    """

    option: Option
    written: object
    place: str = ""
    words: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The value as text, as it was written or as YAML would write it."""
        return value_text(self.written) if self.place else str(self.written)

    def error(self, problem: str) -> ConfigError:
        """Returns an error with the place, the problem, and a value that is allowed."""
        separator = ": " if self.place else "="
        return ConfigError(f"{self.place}{self.option.error(self.text, problem, separator)}")


def find_option(options: Mapping[str, Option], name: str, place: str = "") -> Option:
    """Returns the option of a name; `place` is where the name stands, for the error.

    Raises:
      ConfigError: if there is no such option; it names the nearest one.
    """
    if name in options:
        return options[name]
    guess = did_you_mean(name, options)
    raise ConfigError(f"{place}{name}: no such option.{guess} --help lists all options.")


def merge_settings(config: ConfigType, settings: Iterable[Setting]) -> ConfigType:
    """Returns a copy of the config with the settings applied in order; it is not validated.

    Raises:
      ConfigError: if a value is not of its option's type, or asks for interpolation.
    """
    changes: dict[str, Any] = {s.option.name: _typed_value(s) for s in settings}
    return dataclasses.replace(config, **changes)


def _typed_value(setting: Setting) -> object:
    import yaml  # type: ignore[import-untyped]
    from omegaconf.errors import OmegaConfBaseException

    if "${" in str(setting.written):
        raise ConfigError(
            f"{setting.place}{setting.option.name}={setting.text}: ${{...}} is never filled in. "
            "Write the value itself."
        )
    if setting.option.has_auto and setting.written == AUTO_TEXT:
        return AUTO
    annotation = setting.option.annotation
    expected = f"expected {type_text(annotation)}."
    try:
        parsed = setting.written if setting.place else _parsed(setting)
        value = _merged(setting.option, parsed)
    except (OmegaConfBaseException, yaml.YAMLError, TypeError, ValueError):
        raise setting.error(expected) from None
    if not is_of_type(value, annotation):
        raise setting.error(expected)
    if not _is_faithful(value, parsed):
        has_text = any(isinstance(leaf, (str, PurePath)) for leaf in leaves(value))
        quotes = " Text that YAML reads as something else needs quotes." if has_text else ""
        raise setting.error(expected + quotes)
    _check_numbers(setting, value)
    return value


def _check_numbers(setting: Setting, value: object) -> None:
    """Raises ConfigError if YAML would read a number as another one than it seems."""
    if not any(isinstance(leaf, (int, float)) for leaf in leaves(value)):
        return
    words = setting.words if setting.place else re.split(r"[\[\],\s]+", str(setting.written))
    for problem in filter(None, map(misread_number_problem, words)):
        raise ConfigError(f"{setting.place}{setting.option.name}: {problem}")


def _parsed(setting: Setting) -> object:
    """Reads the text of a command-line override; text for a text option is taken verbatim."""
    from omegaconf import OmegaConf

    text = str(setting.written)
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    if is_text_type(setting.option.annotation) and text != "null" and not is_quoted:
        return text
    name = setting.option.name
    container: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"{name}={text}"]))
    return container[name]


def _merged(option: Option, parsed: object) -> object:
    """Merges the value into a structured config that has the option's type."""
    from omegaconf import OmegaConf

    schema = OmegaConf.structured(
        dataclasses.make_dataclass("Schema", [(option.name, option.annotation)])
    )
    schema.merge_with({option.name: parsed})
    container: Any = OmegaConf.to_container(schema)
    value = container[option.name]
    if isinstance(value, list) and not is_of_type(value, option.annotation):
        return tuple(value)  # OmegaConf before 2.4 keeps tuples as lists
    return value


def _is_faithful(value: object, parsed: object) -> bool:
    """Returns False where OmegaConf made text of something else, as "7" of 007, or true of 2."""
    if isinstance(value, (list, tuple)) and isinstance(parsed, (list, tuple)):
        return all(map(_is_faithful, value, parsed))
    if isinstance(value, (str, PurePath)):
        return isinstance(parsed, str)
    return not isinstance(value, bool) or isinstance(parsed, str) or parsed in (False, True)
