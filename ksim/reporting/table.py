"""Shows tables to a person, on a terminal or in a file."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table


def show_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], console: Console | None = None
) -> None:
    """Shows a table; plain columns off a terminal.

    Args:
      header: names of the columns.
      rows: a cell for each column.
      console: the console to show it on; standard output by default.
    """
    console = console or Console()
    if console.is_terminal:
        table = Table(*header)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    else:
        print("\n".join(_aligned([header, *rows])), file=console.file, flush=True)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
