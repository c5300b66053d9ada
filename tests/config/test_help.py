"""The help and the option tables."""

import io
import sys
from dataclasses import dataclass

import pytest

from ksim.config import Config, format_help, option, option_table, print_help


@dataclass
class Run(Config):
    """The run.

    More.
    """

    num_envs: int = option(64, help="Environments.", unit="environments", minimum=1)
    run_dir: str | None = option(None, help="Where the run goes.")


@dataclass
class Learning(Run):
    """How it learns."""

    gamma: float = option(0.97, help="Discount.", above=0, maximum=1)
    a_rather_long_name_of_an_option: float = option(0.5, help="What it is. " * 12, unit="m/s")


@dataclass
class Mine(Learning):
    my_param: float = 1.0


HELP = """\
Usage: python -m examples.walking [config.yaml ...] [option=value ...]

  python -m examples.walking num_envs=8
  python -m examples.walking my_run.yaml num_envs=8

YAML files hold `option: value` lines and are applied in the order given;
option=value always wins. A list is written [1,2], no value null.

The run
  num_envs=8                  Environments. (int, environments, at least 1)
  run_dir=null                Where the run goes. (str | null)

How it learns
  gamma=0.97                  Discount. (float, above 0, at most 1)
  a_rather_long_name_of_an_option=0.5
                              What it is. What it is. What it is. What it is.
                              What it is. What it is. What it is. What it is.
                              What it is. What it is. What it is. What it is.
                              (float, m/s)

Mine
  my_param=1.0                (float)"""


def test_help_is_grouped_and_shows_the_instances_values():
    assert format_help(Mine(num_envs=8), program="python -m examples.walking") == HELP


@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_too_long(width):
    lines = format_help(Mine(), program="python -m m", width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) > width - 12


def test_a_config_without_options():
    assert "option=value" in format_help(Config(), program="p")


def test_plain_text_where_there_is_no_terminal(capsys):
    print_help(Mine())
    assert capsys.readouterr().out == format_help(Mine()) + "\n"


def test_the_same_text_in_colours_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_help(Mine())
    coloured = terminal.getvalue()
    assert "\x1b[1mThe run\x1b[0m" in coloured
    assert "\x1b[36m  num_envs\x1b[0m=64" in coloured

    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    terminal.seek(0), terminal.truncate()
    print_help(Mine())
    assert terminal.getvalue() == format_help(Mine(), width=90) + "\n"


def test_option_table():
    table = option_table(Mine)
    assert table.startswith(
        "### The run\n"
        "\n"
        "| option | default | type, unit, bounds | meaning |\n"
        "|---|---|---|---|\n"
        "| `num_envs` | `64` | int, environments, at least 1 | Environments. |\n"
        "| `run_dir` | `null` | str \\| null | Where the run goes. |\n"
        "\n"
        "### How it learns\n"
    )
    assert table.endswith("| `my_param` | `1.0` | float |  |\n")
