"""Bounds of what one reads at once: lines of a function and of a file, files of a folder."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

LINES_OF_A_FUNCTION = 60
LINES_OF_A_FILE = 400
FILES_OF_A_FOLDER = 20
# One file a reward, or a few that belong together.
LARGE_FOLDERS = frozenset({"ksim/terms/rewards"})


def complaints(files: Mapping[str, str]) -> Iterator[str]:
    """Yields each function, file and folder that is too large."""
    for path, text in files.items():
        length = len(text.splitlines())
        if length > LINES_OF_A_FILE:
            yield f"{path}: {length} lines, and a file has at most {LINES_OF_A_FILE}. Divide it."
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _complaint_of_function(path, node)
    counts = Counter(str(PurePosixPath(path).parent) for path in files)
    for folder, count in counts.items():
        if count > FILES_OF_A_FOLDER and folder not in LARGE_FOLDERS:
            yield (
                f"{folder}: {count} files side by side, and a folder has at most"
                f" {FILES_OF_A_FOLDER}. Find the rooms in it."
            )


def _complaint_of_function(
    path: str, function: ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[str]:
    length = function.end_lineno - function.lineno + 1
    if length > LINES_OF_A_FUNCTION:
        yield (
            f"{path}:{function.lineno}: {function.name} has {length} lines, and a function has at"
            f" most {LINES_OF_A_FUNCTION}. Divide it."
        )
