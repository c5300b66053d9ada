"""Keeps compiled programs between runs, in JAX's own cache.

JAX has one but leaves it off, skips programs that compile within a second, and does not tell apart
programs that were compiled for other numbers of threads. All of it is JAX's public interface, tried
with jax 0.9.2 and 0.12.0.
"""

import logging
import os
from pathlib import Path

import jax

from ksim.xla.false_alarms import hide_false_alarms
from ksim.xla.threads import num_xla_threads

_logger = logging.getLogger(__name__)


def enable_compilation_cache() -> Path | None:
    """Keeps compiled programs in the user's private cache directory.

    The directory lies in `$XDG_CACHE_HOME/ksim/jax`, or `~/.cache/ksim/jax`, for this user alone: a
    compiled program is code. Each number of XLA's threads has its own, because operations are
    divided among them when they are compiled, and JAX would take the program of one core for a run
    on many. A directory that is configured already (`JAX_COMPILATION_CACHE_DIR`) is left as it is.
    An unusable directory is only warned of: a run does not need it.

    Returns:
      The directory; `None` if it cannot be used.
    """
    hide_false_alarms()
    configured = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if configured:
        return Path(configured)
    try:
        directory = private_cache_directory("jax") / f"{num_xla_threads()}-threads"
        directory.mkdir(exist_ok=True)
    except (OSError, RuntimeError) as error:  # the latter if there is no home
        _logger.warning(
            "Compiled programs are not kept, because their directory cannot be used: %s. Set"
            " XDG_CACHE_HOME to one that can, or write is_compilation_cached=false.",
            error,
        )
        return None
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return directory


def private_cache_directory(name: str) -> Path:
    """Creates a folder of ksim's in the user's cache directory, for this user alone.

    Raises:
      OSError: if it cannot be made.
      RuntimeError: if the user has no home.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    private = root / "ksim" / name
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    private.chmod(0o700)
    return private
