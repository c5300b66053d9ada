"""Keeps JAX's distributed runtime from taking SIGTERM for itself, so that ksim can save and stop.

Its preemption service is switched by an option that JAX does not document. Written for jax 0.9.2
and 0.12.0.
"""

import jax

from ksim.xla.fallback import warn_of_plain_way


def keep_sigterm() -> None:
    """Switches JAX's preemption service off, before `jax.distributed.initialize`."""
    try:
        jax.config.update("jax_enable_preemption_service", False)
    except AttributeError as error:
        warn_of_plain_way(
            f"the option that switches its preemption service off ({error})",
            "JAX may take SIGTERM for itself, and the run then ends without a last checkpoint",
        )
