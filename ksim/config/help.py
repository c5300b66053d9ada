"""Text of `--help`, and the tables of options in the documentation."""

import re
import shutil
import sys
import textwrap
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from ksim.config.config import Config
from ksim.config.option import Option, options_of
from ksim.config.value import type_text, value_text

_NAME_COLUMN = 30  # characters for `  name=default`


def print_help(config: Config) -> None:
    """Prints the help: with colours and at its width on a terminal, as plain text elsewhere."""
    if not sys.stdout.isatty():
        print(format_help(config))
        return
    from rich.console import Console
    from rich.text import Text

    width = min(shutil.get_terminal_size().columns, 100)
    text = Text(format_help(config, width=width))
    text.highlight_regex(r"(?m)^\S.*$", "bold")
    text.highlight_regex(r"(?m)^  [a-z_0-9]+(?==)", "cyan")
    text.highlight_regex(r"(?m)\([^()]*\)$", "dim")
    Console().print(text, soft_wrap=True)


def format_help(config: Config, *, program: str | None = None, width: int = 80) -> str:
    """Returns the usage, and every option with default, meaning, type, unit and bounds.

    Args:
      config: the config that gives the options and the defaults.
      program: the command that starts the program; by default that of the running one.
      width: characters in a line.
    """
    program = program or _running_program()
    options = options_of(type(config))
    texts = {name: value_text(getattr(config, name)) for name in options}
    example = next((f"{name}={text}" for name, text in texts.items()), "option=value")
    lines = [
        f"Usage: {program} [config.yaml ...] [option=value ...]",
        "",
        f"  {program} {example}",
        f"  {program} my_run.yaml {example}",
        "",
        *textwrap.wrap(
            "YAML files hold `option: value` lines and are applied in the order given; "
            "option=value always wins. A list is written [1,2], no value null.",
            width,
        ),
    ]
    for group, members in groupby(options.values(), attrgetter("group")):
        lines += ["", *textwrap.wrap(group, width)]
        for option in members:
            lines += _entry(option, texts[option.name], width)
    return "\n".join(lines)


def option_table(config_class: type[Config]) -> str:
    """Returns the options of a config class as Markdown: a heading and a table for each group."""
    blocks = []
    for group, members in groupby(options_of(config_class).values(), attrgetter("group")):
        rows = ["| option | default | type, unit, bounds | meaning |", "|---|---|---|---|"]
        for option in members:
            cells = (
                f"`{option.name}`",
                f"`{value_text(option.default)}`",
                ", ".join(_facts(option)),
                option.help,
            )
            rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
        blocks.append("\n".join([f"### {group}", "", *rows]))
    return "\n\n".join(blocks) + "\n"


def _entry(option: Option, default: str, width: int) -> list[str]:
    """Returns `name=default` with the meaning in a column beside it, or below if it is long."""
    meaning = f"{option.help} ({', '.join(_facts(option))})".strip()
    head = f"  {option.name}={default}"
    indent = " " * _NAME_COLUMN
    body = textwrap.wrap(meaning, width, initial_indent=indent, subsequent_indent=indent)
    if len(head) + 2 > _NAME_COLUMN:
        return [head, *body]
    return [head.ljust(_NAME_COLUMN) + body[0].lstrip(), *body[1:]]


def _facts(option: Option) -> list[str]:
    unit = [option.unit] if option.unit else []
    kind = type_text(option.annotation) + (" | auto" if option.has_auto else "")
    return [kind, *unit, *option.rules()]


def _running_program() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return f"python -m {re.sub(r'[.]__main__$', '', spec.name)}"
    return f"python {Path(sys.argv[0]).name}"
