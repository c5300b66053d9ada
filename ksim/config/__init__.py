"""Structured configs: options with units and bounds, overrides, help, and YAML files."""

from ksim.config.argument_parser import ArgumentParser
from ksim.config.automatic import AUTO, Automatic
from ksim.config.command_line import parse_command_line
from ksim.config.config import Config
from ksim.config.help import format_help, option_table, print_help
from ksim.config.nearest import did_you_mean, nearest, unknown_name_message
from ksim.config.option import ConfigError, Option, option, options_of
from ksim.config.yaml_file import load_config, save_config

__all__ = [
    "AUTO",
    "ArgumentParser",
    "Automatic",
    "Config",
    "ConfigError",
    "Option",
    "did_you_mean",
    "format_help",
    "load_config",
    "nearest",
    "option",
    "option_table",
    "options_of",
    "parse_command_line",
    "print_help",
    "save_config",
    "unknown_name_message",
]
