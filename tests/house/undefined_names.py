"""Every name that is read is defined; ruff and mypy cannot tell names from axes of arrays.

jaxtyping writes axes as strings, `Float[Array, "num_envs"]`, and both read a string in an
annotation as a type. So F821 and `name-defined` are off for all files, and this asks ruff and
leaves out what stands in such a string.
"""

import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

Place = tuple[int, int]  # line and column, both from 1

RUFF = ("ruff", "check", "--isolated", "--no-cache", "--target-version=py311", "--select=F821")
FOUND_SOMETHING = 1


def complaints(files: Mapping[str, str]) -> Iterator[str]:
    """Yields each undefined name that is no axis of an array."""
    for path, place, message in _undefined_names(files):
        if not any(start <= place < end for start, end in _axes(files[path])):
            yield f"{path}:{place[0]}: {message}. Define or import it, or mend its spelling."


def _undefined_names(files: Mapping[str, str]) -> Iterator[tuple[str, Place, str]]:
    """Yields file, place and ruff's message of each; ruff reads a copy, once for all files."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        finished = subprocess.run(
            [sys.executable, "-m", *RUFF, "--output-format=json", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode not in (0, FOUND_SOMETHING):
            raise RuntimeError(f"ruff failed: {finished.stderr}")
        for found in json.loads(finished.stdout):
            name = Path(found["filename"]).relative_to(root).as_posix()
            start = found["location"]
            yield name, (start["row"], start["column"]), found["message"]


def _axes(text: str) -> Iterator[tuple[Place, Place]]:
    """Yields where each string of axes begins and ends: the second in jaxtyping's types."""
    lines, tree = text.splitlines(), ast.parse(text)
    types = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "jaxtyping"
        for alias in node.names
    }

    def place(line: int, offset: int) -> Place:
        """Counts characters, as ruff does; `ast` counts bytes."""
        return line, len(lines[line - 1].encode()[:offset].decode()) + 1

    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Name(type_name),
                slice=ast.Tuple(elts=[_, ast.Constant(str()) as axes]),
            ) if type_name in types:
                yield (
                    place(axes.lineno, axes.col_offset),
                    place(axes.end_lineno or axes.lineno, axes.end_col_offset or 0),
                )
