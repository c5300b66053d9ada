"""Whether JAX has started its devices."""


def has_jax_started() -> bool:
    """Returns whether JAX has made its devices, so that options of theirs come too late."""
    from jax._src import xla_bridge

    return xla_bridge.backends_are_initialized()
