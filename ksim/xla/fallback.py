"""Says once that a private door of JAX is missing, and what is done instead.

The doors of this room are nobody's promise: a later JAX may close any of them. Written for jax
0.9.2 and 0.12.0.
"""

import functools
import logging

import jax

_logger = logging.getLogger(__name__)


@functools.cache
def warn_of_plain_way(missing: str, instead: str) -> None:
    """Logs a warning, the first time that it is called with these words.

    Args:
      missing: the door, and how it was found closed.
      instead: the plain way, and what it costs.
    """
    _logger.warning(
        "ksim was written for jax 0.9.2 and 0.12.0; in jax %s it misses %s. Instead %s.",
        jax.__version__,
        missing,
        instead,
    )
