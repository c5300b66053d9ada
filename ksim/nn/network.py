"""Feed-forward and recurrent networks with one calling convention."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from ksim.config import unknown_name_message
from ksim.config.concerns import ACTIVATIONS
from ksim.xla.bfloat16_product import rounded_dot_general

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    name: getattr(jax.nn, name) for name in ACTIVATIONS
}

_DOT_GENERALS: dict[str, Callable[..., Array]] = {
    "bfloat16": rounded_dot_general,
    "float32": jax.lax.dot_general,
}


def activation_function(name: str) -> Callable[[Array], Array]:
    """Returns an activation function by its name.

    Raises:
      ValueError: if there is no such function.
    """
    if name not in _ACTIVATIONS:
        message = unknown_name_message(name, _ACTIVATIONS, kind="activation", place="in ksim")
        raise ValueError(f'activation="{name}": {message}')
    return _ACTIVATIONS[name]


class Network(nn.Module, ABC):
    """Maps a vector and a memory to a vector and the next memory, as a Linen module.

    Those below start with orthogonal weights and zero biases. Parameters, outputs and gradients
    are float32 whatever the precision of the matrix products.
    """

    @abstractmethod
    def __call__(
        self, x: Float[Array, "num_inputs"], carry: PyTree
    ) -> tuple[Float[Array, "output_size"], PyTree]:
        """Returns the output and the memory for the next call."""

    @abstractmethod
    def initial_carry(self) -> PyTree:
        """Returns the memory at the start of an episode, without leaves if there is none."""


class MLP(Network):
    """Dense layers with an activation between them; no memory.

    Attributes:
      hidden_sizes: width of each hidden layer, > 0; `()` makes a linear map.
      output_size: width of the output, > 0.
      activation: name of the activation function.
      output_scale: gain of the last layer's initial weights: small for an actor, so that its first
        actions are near zero whatever it observes.
      matmul_precision: `float32`, or `bfloat16` to round the factors of matrix products, which
        matrix units compute several times as fast.

    Raises:
      ValueError: if a size is not positive, or the activation or the precision is unknown.
    """

    hidden_sizes: tuple[int, ...]
    output_size: int
    activation: str = "elu"
    output_scale: float = 1.0
    matmul_precision: str = "float32"

    def __post_init__(self) -> None:
        _check_positive(self, hidden_sizes=self.hidden_sizes, output_size=(self.output_size,))
        _check_matmul_precision(self.matmul_precision)
        activation_function(self.activation)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "num_inputs"], carry: PyTree
    ) -> tuple[Float[Array, "output_size"], PyTree]:
        """Returns the output, and `carry` as it is."""
        for i, size in enumerate(self.hidden_sizes):
            x = self._dense(size, math.sqrt(2), f"hidden_{i}")(x)
            x = activation_function(self.activation)(x)
        return self._dense(self.output_size, self.output_scale, "output")(x), carry

    def _dense(self, size: int, scale: float, name: str) -> nn.Dense:
        return _dense(size, self.matmul_precision, scale, name=name)

    def initial_carry(self) -> tuple[()]:
        """Returns `()`."""
        return ()


class GRU(Network):
    """Layers of gated recurrent units, and a dense layer; the memory is each layer's state.

    Attributes:
      hidden_size: width of each recurrent layer, > 0.
      num_layers: number of recurrent layers, > 0.
      output_size: width of the output, > 0.
      output_scale: gain of the last layer's initial weights, as of an `MLP`.
      matmul_precision: precision of matrix products, as of an `MLP`.

    Raises:
      ValueError: if a size is not positive or the precision is unknown.

    Reference:
      Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder",
      arXiv:1406.1078.
    """

    hidden_size: int
    num_layers: int
    output_size: int
    output_scale: float = 1.0
    matmul_precision: str = "float32"

    def __post_init__(self) -> None:
        _check_matmul_precision(self.matmul_precision)
        _check_positive(
            self,
            hidden_size=(self.hidden_size,),
            num_layers=(self.num_layers,),
            output_size=(self.output_size,),
        )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "num_inputs"], carry: tuple[Float[Array, "hidden_size"], ...]
    ) -> tuple[Float[Array, "output_size"], tuple[Float[Array, "hidden_size"], ...]]:
        """Returns the output and the new state of each layer."""
        states = []
        for i, state in zip(range(self.num_layers), carry, strict=True):
            x = GRUCell(self.hidden_size, self.matmul_precision, name=f"hidden_{i}")(x, state)
            states.append(x)
        output = _dense(self.output_size, self.matmul_precision, self.output_scale, name="output")
        return output(x), tuple(states)

    def initial_carry(self) -> tuple[Float[Array, "hidden_size"], ...]:
        """Returns zeros, `[hidden_size]` for each layer."""
        return tuple(jnp.zeros(self.hidden_size) for _ in range(self.num_layers))


class GRUCell(nn.Module):
    """One layer of a `GRU`: `flax.linen.GRUCell` with a choice of the matrix product.

    Attributes:
      size: width of the layer.
      matmul_precision: precision of matrix products, as of an `MLP`.
    """

    size: int
    matmul_precision: str

    @nn.compact
    def __call__(
        self, x: Float[Array, "num_inputs"], state: Float[Array, "size"]
    ) -> Float[Array, "size"]:
        """Returns the next state, which is the output too."""

        def dense(name: str, x: Array, has_bias: bool = True) -> Array:
            layer = _dense(self.size, self.matmul_precision, use_bias=has_bias, name=name)
            output: Array = layer(x)
            return output

        reset = nn.sigmoid(dense("ir", x) + dense("hr", state, has_bias=False))
        update = nn.sigmoid(dense("iz", x) + dense("hz", state, has_bias=False))
        new = nn.tanh(dense("in", x) + reset * dense("hn", state))
        return (1 - update) * new + update * state


def _dense(size: int, matmul_precision: str, scale: float = 1.0, **options: Any) -> nn.Dense:
    return nn.Dense(
        size,
        kernel_init=nn.initializers.orthogonal(scale),
        dot_general=_DOT_GENERALS[matmul_precision],
        **options,
    )


def _check_matmul_precision(name: str) -> None:
    if name not in _DOT_GENERALS:
        message = unknown_name_message(name, _DOT_GENERALS, kind="precision", place="in ksim")
        raise ValueError(f'matmul_precision="{name}": {message}')


def _check_positive(network: Network, **sizes: tuple[int, ...]) -> None:
    for name, values in sizes.items():
        if any(value < 1 for value in values):
            raise ValueError(
                f"{type(network).__name__}({name}={getattr(network, name)}): a size is at least 1."
            )
