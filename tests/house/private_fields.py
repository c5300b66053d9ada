"""Private fields of MJX and its copy of MuJoCo Warp are read in two rooms alone.

So is the inside of JAX: ruff bans imports of it (`banned-api` in pyproject.toml), but does not see
a module that is imported by its name in a string.
"""

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
INSIDE_OF_JAX = ("jax._src.", "jax.interpreters.", "jax.extend.", "jaxlib.")


def complaints(files: Mapping[str, str]) -> Iterator[str]:
    """Yields each use of `_impl` or `third_party.mujoco_warp`, and imports of JAX's inside by name.

    `_impl` is found in strings too, as in a path of fields.
    """
    for path, text in files.items():
        if path.startswith(ROOMS):
            continue
        for line, name in _private_names(text):
            yield (
                f"{path}:{line}: {name} is private to MJX or JAX, which may change it without a"
                " word. Write what needs it in ksim/physics/engines (or ksim/xla), and call that."
            )


def _private_names(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(attr="_impl" | "mujoco_warp" as name):
                yield node.lineno, name
            case ast.Constant(str(value)) if re.fullmatch(r"(\w+\.)*_impl(\.\w+)*", value):
                yield node.lineno, value
            case ast.Call(
                func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(str(module)), *_],
            ) if f"{module}.".startswith(INSIDE_OF_JAX) or _is_private(module):
                yield node.lineno, module
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
