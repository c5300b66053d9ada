"""Asks JAX about its devices: whether they have started, and of which platforms they are.

JAX has no public question for either. Tried with jax 0.9.2 and 0.12.0.
"""


def has_jax_started() -> bool:
    """Returns whether JAX has made its devices, so that options of theirs come too late."""
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()


def has_platform(name: str) -> bool:
    """Returns whether JAX has devices of a platform, such as `cuda`; starts them."""
    from jax.extend import backend

    return name in backend.backends()
