"""A table in a page of the docs that a benchmark keeps up to date."""

from pathlib import Path


def replace_table(page: Path, name: str, table: str) -> None:
    """Writes a table between the marks `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a page.

    Raises:
      ValueError: if the page lacks a mark.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise ValueError(f"{page.name} has no marks {begin} and {end}.")
    before, rest = text.split(begin, 1)
    page.write_text(f"{before}{begin}\n\n{table}\n\n{end}{rest.split(end, 1)[1]}", encoding="utf-8")
