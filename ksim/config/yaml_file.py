"""Config files: reads settings from YAML, saves a config, loads it again."""

import textwrap
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from itertools import groupby
from operator import attrgetter
from pathlib import Path, PurePath
from types import NoneType
from typing import Any

import yaml  # type: ignore[import-untyped]

from ksim.config.automatic import Automatic
from ksim.config.config import Config
from ksim.config.nearest import did_you_mean
from ksim.config.option import ConfigError, Option, options_of
from ksim.config.setting import ConfigType, Setting, find_option, merge_settings
from ksim.config.value import leaves, value_text

_WRITTEN = (bool, int, float, str, Enum, PurePath, Automatic)


def save_config(
    config: Config,
    path: str | Path,
    notes: Mapping[str, str] | None = None,
    left_out: Collection[str] = (),
) -> None:
    """Writes every option and its value as YAML, grouped, with its help as a comment above it.

    `load_config` gives the same values back, bit for bit, except those that are left out.

    Args:
      config: the config to save.
      path: the file; it is replaced if it exists.
      notes: further comments on options, by name.
      left_out: the options whose value becomes a comment, too.

    Raises:
      TypeError: if an option holds a value that YAML cannot give back.
    """
    lines = [f"# {type(config).__name__}"]
    for group, members in groupby(options_of(type(config)).values(), attrgetter("group")):
        lines += ["", f"# ---- {group} ----"]
        for option in members:
            comment = f"{option.help} [{option.unit}]" if option.unit else option.help
            note = (notes or {}).get(option.name, "")
            lines += [f"# {line}" for text in (comment, note) for line in textwrap.wrap(text, 96)]
            line = f"{option.name}: {_yaml_text(option, getattr(config, option.name))}"
            lines.append(f"# Not repeated: {line}" if option.name in left_out else line)
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_config(config: ConfigType, path: str | Path) -> ConfigType:
    """Returns a copy of the config with the options that the file gives, validated.

    Args:
      config: the config that gives the class, and the options that the file leaves out.
      path: a YAML file of `option: value` lines, such as `save_config` writes.

    Raises:
      ConfigError: if the file is missing, malformed or gives an option a value that it cannot have.
    """
    loaded = merge_settings(config, read_settings(path, options_of(type(config))))
    loaded.validate()
    return loaded


def read_settings(path: str | Path, options: Mapping[str, Option]) -> list[Setting]:
    """Reads the settings that a YAML file gives, in its order.

    Raises:
      ConfigError: if the file is missing or malformed, is not a mapping, or names an unknown option
        or one option twice.
    """
    path = Path(path)
    if not path.is_file():
        guess = did_you_mean(path.name, (file.name for file in path.parent.glob("*.y*ml")))
        raise ConfigError(f"{path}: no such file.{guess}")
    settings: dict[str, Setting] = {}
    for name, value, words, line in _read_mapping(path):
        place = f"{path}, line {line}: "
        setting = Setting(find_option(options, name, place), value, place, words)
        if name in settings:
            raise ConfigError(f"{place}{name} is given twice. Write it once.")
        settings[name] = setting
    return list(settings.values())


class _Loader(yaml.SafeLoader):
    """Reads YAML safely, and no aliases: with them a short file can stand for a huge value."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not read", problem_mark=mark)
        return super().compose_node(parent, index)


def _read_mapping(path: Path) -> list[tuple[str, object, tuple[str, ...], int]]:
    """Returns the keys and values of the file, their unquoted words, and their lines."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        mapping = [
            (
                str(key.value),
                loader.construct_object(value, deep=True),
                tuple(_words(value)),
                key.start_mark.line + 1,
            )
            for key, value in pairs
        ]
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: malformed YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: malformed YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(node, (yaml.MappingNode, NoneType)):
        raise ConfigError(f"{path}: not a mapping. Write one `option: value` on each line.")
    return mapping


def _words(node: yaml.Node) -> Iterator[str]:
    """Yields the unquoted scalars of a value as they are written."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _words(item)
    elif isinstance(node, yaml.ScalarNode) and node.style is None:
        yield node.value


def _yaml_text(option: Option, value: object) -> str:
    for leaf in leaves(value):
        if leaf is not None and not isinstance(leaf, _WRITTEN):
            raise TypeError(f"{option.name}: a {type(leaf).__name__} cannot be written as YAML.")
    return value_text(value)
