"""Keeps measurements of this machine in the user's cache directory."""

import hashlib
import json
import logging
import math
import os
import platform
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax

from ksim.xla.compilation_cache import private_cache_directory
from ksim.xla.threads import num_xla_threads

CPU_DESCRIPTION = Path("/proc/cpuinfo")
_PROCESSOR_FACTS = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags")

_logger = logging.getLogger(__name__)


class KeptMeasurement:
    """One measurement of one machine: a private JSON file, named by a digest of its key.

    The key holds the subject of the measurement, and the machine: processor, threads, `XLA_FLAGS`
    and the version of JAX.
    """

    def __init__(self, name: str, subject: Mapping[str, Any]) -> None:
        """Derives the name of the file.

        Args:
          name: the measured quantity; the file's name begins with it.
          subject: everything beside the machine that the result depends on; JSON data.
        """
        self._key = {**_machine(), **subject}
        text = json.dumps(self._key, sort_keys=True)
        self._name = f"{name}_{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"

    def read(self, names: Collection[str]) -> dict[str, float] | None:
        """Returns the numbers of these names, all above 0; `None` if none are kept or damaged."""
        try:
            path = private_cache_directory("measured") / self._name
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            _logger.warning(
                "A measurement that was kept cannot be read, and is made anew: %s", error
            )
            return None
        try:
            kept = json.loads(text)
            numbers = {str(name): float(number) for name, number in kept["numbers"].items()}
            is_sound = (
                kept["key"] == self._key
                and numbers.keys() == set(names)
                and all(math.isfinite(number) and number > 0 for number in numbers.values())
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            is_sound = False
        if not is_sound:
            _logger.warning("%s is damaged, and is measured anew.", path)
            return None
        return numbers

    def write(self, numbers: Mapping[str, float]) -> None:
        """Keeps the numbers; warns of a directory that cannot be used.

        The file appears whole or not at all, even if several processes write it.
        """
        content = json.dumps({"key": self._key, "numbers": dict(numbers)}, indent=2) + "\n"
        try:
            directory = private_cache_directory("measured")
            with tempfile.NamedTemporaryFile(
                "w", dir=directory, prefix=".", delete=False, encoding="utf-8"
            ) as file:
                file.write(content)
            Path(file.name).replace(directory / self._name)
        except (OSError, RuntimeError) as error:  # the latter if there is no home
            _logger.warning(
                "What was measured is not kept, because its directory cannot be used: %s. Set"
                " XDG_CACHE_HOME to one that can.",
                error,
            )


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "jax": jax.__version__,
        "threads": num_xla_threads(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def _processor() -> dict[str, str]:
    """Describes the first processor core, as Linux does; elsewhere as Python does."""
    try:
        lines = CPU_DESCRIPTION.read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {"machine": platform.machine(), "processor": platform.processor()}
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    known = {name.strip(): value.strip() for name, value in facts.items()}
    return {name: known[name] for name in _PROCESSOR_FACTS if name in known}
