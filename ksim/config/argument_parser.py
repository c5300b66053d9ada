"""Reads command lines of ksim's own commands; tasks have `key=value` options instead."""

import argparse
import textwrap
from typing import Any, NoReturn

from ksim.config.option import ConfigError


class ArgumentParser(argparse.ArgumentParser):
    """Reports errors as ksim does: with a command line to write instead."""

    def __init__(self, *, example: str, **options: Any) -> None:
        """Prepares the parser.

        Args:
          example: a command line that is right.
          options: those of `argparse.ArgumentParser`.
        """
        super().__init__(**options)
        self._example = example

    def error(self, message: str) -> NoReturn:
        """Raises ConfigError with the message, and a command line to write instead."""
        shortened = textwrap.shorten(message, 200)
        raise ConfigError(f"{shortened}. Write, for example: {self._example}")
