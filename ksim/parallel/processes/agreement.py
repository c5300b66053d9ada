"""Compares the options, code and library versions of all processes of a run."""

import hashlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ksim.config import Config, ConfigError, options_of
from ksim.config.value import value_text
from ksim.parallel.processes.group import ProcessGroup

_LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy", "mujoco", "mujoco-mjx")
_VARIABLES = ("JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_THREEFRY_PARTITIONABLE")
# The place of a process among the others.
_OPTIONS_OF_ONE_PROCESS = frozenset(
    {"process_id", "num_processes", "coordinator_address", "coordinator_bind_address"}
)
_MAX_LISTED = 12


def run_facts(config: Config, classes: Iterable[type] = ()) -> dict[str, str]:
    """Returns the facts that all processes must share, by name: options, code, versions.

    Args:
      config: the options.
      classes: the task's classes; the files that define them and their bases count as code.
    """
    facts = {
        f"option {name}": value_text(getattr(config, name))
        for name in options_of(type(config))
        if name not in _OPTIONS_OF_ONE_PROCESS
    }
    facts["code of ksim"] = _digest(_package_files())
    for path in _files_of(classes):
        facts[f"code of {path.name}"] = _digest([path])
    facts["Python"] = platform.python_version()
    facts |= {f"version of {name}": _version(name) for name in _LIBRARIES}
    return facts | {f"variable {name}": os.environ.get(name, "not set") for name in _VARIABLES}


def check_agreement(processes: ProcessGroup, facts: Mapping[str, Any]) -> None:
    """Checks that all processes have the same facts.

    Raises:
      ConfigError: in every process, with the values that differ and their processes.
    """
    everyone = processes.exchange("agreement", dict(facts))
    names = dict.fromkeys(name for one in everyone for name in one)
    differing = [name for name in names if len({str(one.get(name)) for one in everyone}) > 1]
    if not differing:
        return
    lines = [_difference(name, [one.get(name) for one in everyone]) for name in differing]
    if len(lines) > _MAX_LISTED:
        lines[_MAX_LISTED:] = [f"... and {len(lines) - _MAX_LISTED} more"]
    raise ConfigError(
        "The processes of this run do not agree; a run needs the same in all of them:\n  "
        + "\n  ".join(lines)
        + "\nStart all of them with the same command, in the same version of the code."
    )


def _difference(name: str, values: list[Any]) -> str:
    """Returns `option seed: 0 in process 0; 1 in processes 1, 2`."""
    holders: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        holders.setdefault("nothing" if value is None else str(value), []).append(index)
    parts = [
        f"{value} in process{'es' if len(indices) > 1 else ''} {_numbers(indices)}"
        for value, indices in holders.items()
    ]
    return f"{name}: {'; '.join(parts)}"


def _numbers(indices: list[int]) -> str:
    text = ", ".join(map(str, indices[:8]))
    return text if len(indices) <= 8 else f"{text}, ... ({len(indices)} of them)"


def _package_files() -> list[Path]:
    package = sys.modules["ksim"].__file__
    assert package is not None
    return sorted(Path(package).parent.rglob("*.py"))


def _files_of(classes: Iterable[type]) -> list[Path]:
    """Returns the source files, outside of ksim, of the classes and their bases."""
    files = set()
    for cls in {base for each in classes for base in each.__mro__}:
        module = sys.modules.get(cls.__module__)
        path = getattr(module, "__file__", None)
        if path is not None and cls.__module__.split(".")[0] != "ksim":
            files.add(Path(path))
    standard = Path(os.__file__).parent
    return sorted(path for path in files if path.exists() and path.parent != standard)


def _digest(files: list[Path]) -> str:
    """Returns a short fingerprint of the names and the contents of files."""
    root = files[0].parent if files else Path()
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root) if root in path.parents else path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
