"""Reads command lines: YAML files and `option=value` overrides on top of a config's defaults."""

import re
from collections.abc import Mapping, Sequence

from ksim.config.help import print_help
from ksim.config.option import ConfigError, Option, options_of
from ksim.config.setting import ConfigType, Setting, find_option, merge_settings
from ksim.config.value import value_text
from ksim.config.yaml_file import read_settings

_HELP = frozenset({"--help", "-h", "help"})


def parse_command_line(config: ConfigType, arguments: Sequence[str]) -> ConfigType:
    """Returns a copy of the config with the arguments applied, validated.

    YAML files (`walk.yaml`) are applied in the order given, and then the overrides
    (`num_envs=64`), which always win. Text is taken as it stands, without any interpolation.
    `--help`, `-h` or `help` prints the options and leaves the program.

    Args:
      config: the config that gives the class and the defaults.
      arguments: the arguments of the program, without its name.

    Raises:
      ConfigError: if an argument, a file or the resulting config cannot be used.
      SystemExit: with status 0, after the help.
    """
    if not _HELP.isdisjoint(arguments):
        print_help(config)
        raise SystemExit(0)
    options = options_of(type(config))
    files = [argument for argument in arguments if _is_yaml(argument)]
    settings = [setting for path in files for setting in read_settings(path, options)]
    settings += _overrides([a for a in arguments if not _is_yaml(a)], options)
    parsed = merge_settings(config, settings)
    parsed.validate()
    return parsed


def _is_yaml(argument: str) -> bool:
    """Returns whether an argument is a file, as `a/b=c.yaml`; `load=walk.yaml` is an override."""
    return argument.endswith((".yaml", ".yml")) and not re.match(r"[^/\\]*=", argument)


def _overrides(arguments: Sequence[str], options: Mapping[str, Option]) -> list[Setting]:
    settings: dict[str, Setting] = {}
    for argument in arguments:
        name, equals, text = (part.strip() for part in argument.partition("="))
        if argument.startswith("-"):
            name = name.lstrip("-").replace("-", "_")
            raise ConfigError(
                f"{argument}: options are written without dashes. Write {name}={text or 'VALUE'}"
            )
        if not equals:
            raise ConfigError(_no_override(argument, options))
        if not name:
            raise ConfigError(f"{argument}: no option before the =. Write option=value.")
        setting = Setting(find_option(options, name), text)
        if not text:
            raise setting.error("no value given.")
        if name in settings:
            first = f"{name}={settings[name].text}"
            raise ConfigError(f"{name} is given twice: {first} and {argument}. Write it once.")
        settings[name] = setting
    return list(settings.values())


def _no_override(argument: str, options: Mapping[str, Option]) -> str:
    message = f"{argument}: neither option=value nor a .yaml file."
    if argument in options:
        return f"{message} Write {argument}={value_text(options[argument].default)}"
    return f"{message} --help lists all options."
