"""Warns once that a private door of JAX is missing, and names the way around it.

Nobody promises the doors of this room: a later JAX may close any of them. Written for jax 0.9.2
and 0.12.0.
"""

import functools
import logging

import jax

_logger = logging.getLogger(__name__)


@functools.cache
def warn_of_plain_way(missing: str, instead: str) -> None:
    """Logs a warning, the first time that it is called with these words.

    Args:
      missing: the door, and the error at it.
      instead: the plain way, and what it costs.
    """
    _logger.warning(
        "ksim was written for jax 0.9.2 and 0.12.0; in jax %s it misses %s. Instead %s.",
        jax.__version__,
        missing,
        instead,
    )
