"""Finds out whether JAX has started its devices, without starting them.

JAX reads some options only then, and offers no public question. But it refuses to change the number
of its CPU devices afterwards. Tried with jax 0.9.2 and 0.12.0.
"""

import jax


def has_jax_started() -> bool:
    """Returns whether JAX has made its devices, so that options of theirs come too late."""
    number = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]
    try:
        jax.config.update("jax_num_cpu_devices", max(number, 0) + 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", number)
    return False
