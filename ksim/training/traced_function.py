"""Making the state of a new run."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from ksim.xla.compiler_options import RUN_ONCE, compile_with


class TracedFunction:
    """A function that makes arrays, traced once: for their shapes, and for the arrays.

    It is compiled when it is first called, quickly: it runs once.
    """

    def __init__(self, function: Callable[..., Any], *example: Any) -> None:
        """Traces a function.

        Args:
          function: makes a pytree of arrays.
          example: arguments like those that it will be called with.
        """
        self._lowered = jax.jit(function).lower(*example)

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes and dtypes of what it makes."""
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self._lowered.out_info
        )

    @functools.cached_property
    def _compiled(self) -> Any:
        options = RUN_ONCE if jax.default_backend() == "cpu" else {}
        return compile_with(self._lowered, options)

    def __call__(self, *arguments: Any) -> Any:
        """Makes the arrays."""
        return self._compiled(*arguments)
