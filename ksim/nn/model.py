"""The contract of a model, as training programs use it, and its run over a trajectory."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, Key, PyTree

from ksim.nn.distribution import Distribution


class ModelOutput(NamedTuple):
    """Output of a model for one environment at one time.

    Attributes:
      distribution: distribution over the actions, without batch axes.
      value: `[]` predicted discounted return from here on.
      carry: the memory to give to the next call.
    """

    distribution: Distribution
    value: Float[Array, ""]
    carry: PyTree


@runtime_checkable
class Model(Protocol):
    """A policy and a value function: a pytree whose array leaves are the trainable parameters.

    It sees one environment at one time; the training program vmaps it. Everything that is not a
    trainable parameter is part of the pytree's structure, and so hashable.
    """

    def initial_carry(self) -> PyTree:
        """Returns the memory of one environment at the start of an episode; `()` if none."""
        ...

    def __call__(self, observations: Mapping[str, Array], carry: PyTree) -> ModelOutput:
        """Returns the action distribution and the value of one environment.

        Args:
          observations: `{name: [*shape]}` of one environment at one time.
          carry: what the previous call returned, or the initial carry.
        """
        ...


class ModelDefinition(ABC):
    """A model without its parameters: hashable, so that programs are compiled for it only once."""

    @abstractmethod
    def init(self, key: Key[Array, ""]) -> PyTree[Array]:
        """Returns new trainable parameters; traced by `bind`."""

    @abstractmethod
    def apply(
        self, params: PyTree[Array], observations: Mapping[str, Array], carry: PyTree
    ) -> ModelOutput:
        """Returns the output of `Model.__call__`, with these parameters."""

    @abstractmethod
    def initial_carry(self) -> PyTree:
        """Returns the memory of one environment at the start of an episode; `()` if none."""


@struct.dataclass
class BoundModel:
    """Joins a definition with parameters to a `Model`.

    Attributes:
      params: the trainable parameters; the only leaves.
      definition: the definition of the model.
    """

    params: PyTree
    definition: ModelDefinition = struct.field(pytree_node=False)

    def initial_carry(self) -> PyTree:
        """Returns the memory of one environment at the start of an episode; `()` if none."""
        return self.definition.initial_carry()

    def __call__(self, observations: Mapping[str, Array], carry: PyTree) -> ModelOutput:
        """Returns the action distribution and the value of one environment at one time."""
        return self.definition.apply(self.params, observations, carry)


def bind(definition: ModelDefinition, key: Key[Array, ""]) -> BoundModel:
    """Returns a model with new parameters.

    Raises:
      TypeError: if the definition is not hashable.
    """
    try:
        hash(definition)
    except TypeError as error:
        raise TypeError(
            f"bind({type(definition).__name__}): a model definition must be hashable, or every"
            f" call would compile again: {error}. Make it a frozen dataclass, with tuples in place"
            " of lists and dictionaries."
        ) from error
    return BoundModel(jax.jit(definition.init)(key), definition)


def unroll(
    model: Model,
    observations: Mapping[str, Array],
    carry: PyTree[Array],
    is_valid: Bool[Array, "T num_envs"],
) -> tuple[Distribution, Float[Array, "T num_envs"]]:
    """Runs a model over a trajectory, as the rollout did.

    In a step that is not valid the environment was reset: the model runs there too, and starts the
    next step with its initial carry. A model without memory runs on all steps at once.

    Args:
      model: the model.
      observations: `{name: [T, num_envs, *shape]}`.
      carry: memory before the first step, each leaf `[num_envs, ...]`.
      is_valid: `[T, num_envs]`.

    Returns:
      The distributions, each leaf `[T, num_envs, ...]`, and the values `[T, num_envs]`.
    """

    def step(carry: PyTree, inputs: tuple) -> tuple[PyTree, tuple[Distribution, Array]]:
        observations, is_valid = inputs
        output = model(observations, carry)
        next_carry = jax.tree.map(partial(jnp.where, is_valid), output.carry, model.initial_carry())
        return next_carry, (output.distribution, output.value)

    step = jax.vmap(step)
    if jax.tree.leaves(carry):
        return jax.lax.scan(step, carry, (observations, is_valid))[1]
    return jax.vmap(step, in_axes=(None, 0))(carry, (observations, is_valid))[1]
