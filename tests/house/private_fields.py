"""Private fields of MJX and its copy of MuJoCo Warp are read in two rooms alone."""

import ast
import re
from collections.abc import Iterator, Mapping

# Tests of a room may look at what the room looks at; this folder names it.
ROOMS = (
    "ksim/xla/",
    "ksim/physics/engines/",
    "tests/xla/",
    "tests/physics/engines/",
    "tests/house/",
)


def complaints(files: Mapping[str, str]) -> Iterator[str]:
    """Yields each use of `_impl`, also in a path of fields, and of `third_party.mujoco_warp`."""
    for path, text in files.items():
        if path.startswith(ROOMS):
            continue
        for line, name in _private_names(text):
            yield (
                f"{path}:{line}: {name} is private to MJX, which may change it without a word."
                " Write what needs it in ksim/physics/engines (or ksim/xla), and call that."
            )


def _private_names(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(attr="_impl" | "mujoco_warp" as name):
                yield node.lineno, name
            case ast.Constant(str(value)) if re.fullmatch(r"(\w+\.)*_impl(\.\w+)*", value):
                yield node.lineno, value
            case ast.ImportFrom(module=str(module)) if _is_private(module):
                yield node.lineno, module
            case ast.ImportFrom(module=str(module), names=names):
                for alias in names:
                    if _is_private(f"{module}.{alias.name}"):
                        yield node.lineno, f"{module}.{alias.name}"
            case ast.Import(names=names):
                for alias in names:
                    if _is_private(alias.name):
                        yield node.lineno, alias.name


def _is_private(module: str) -> bool:
    return f"{module}.".startswith("mujoco.mjx.third_party.mujoco_warp.")
