"""Traces and compiles the functions that create the state of a new run."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from ksim.xla.compiler_options import RUN_ONCE, compile_with


class TracedFunction:
    """A function that creates arrays, traced once for both their shapes and their values.

    It is compiled when it is first called, with little optimization: it runs once.
    """

    def __init__(self, function: Callable[..., Any], *example: Any) -> None:
        """Traces a function.

        Args:
          function: creates a pytree of arrays.
          example: arguments of the types of later calls.
        """
        self._lowered = jax.jit(function).lower(*example)

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes and dtypes of the arrays."""
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self._lowered.out_info
        )

    @functools.cached_property
    def _compiled(self) -> Any:
        options = RUN_ONCE if jax.default_backend() == "cpu" else {}
        return compile_with(self._lowered, options)

    def __call__(self, *arguments: Any) -> Any:
        """Creates the arrays."""
        return self._compiled(*arguments)
