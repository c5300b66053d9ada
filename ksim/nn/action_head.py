"""Heads that turn the output of an actor network into a distribution over actions."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.nn.distribution import Categorical, Distribution, Normal, TanhNormal


class ActionHead(ABC):
    """Turns a network's output into a distribution; holds sizes, and no parameters."""

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """Number of values that the network must put out."""

    @abstractmethod
    def init(self) -> dict[str, Array]:
        """Returns the trainable parameters of the head; empty if it has none."""

    @abstractmethod
    def __call__(
        self, params: Mapping[str, Array], outputs: Float[Array, "*batch num_outputs"]
    ) -> Distribution:
        """Returns the distribution, with the batch axes of `outputs`."""


@dataclasses.dataclass(frozen=True)
class NormalHead(ActionHead):
    """Gives normal actions, with one learned standard deviation for each, or one for each state.

    std = min_std + exp(s): s is a parameter, or, with `is_std_state_dependent`, a constant plus
    the second half of the network's output. The bound is smooth, so that a small standard
    deviation can still grow.

    Attributes:
      size: number of action components, > 0.
      init_std: standard deviation at the start (where the network puts out 0), > min_std.
      min_std: lower bound of the standard deviation, > 0.
      is_squashed: True if tanh keeps actions in (-1, 1).
      is_std_state_dependent: True if the network puts out the standard deviation too.

    Raises:
      ValueError: if a number is outside its range.
    """

    size: int
    init_std: float = 1.0
    min_std: float = 0.01
    is_squashed: bool = False
    is_std_state_dependent: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"NormalHead(size={self.size}): an action has at least 1 component.")
        if not 0 < self.min_std < self.init_std:
            raise ValueError(
                f"NormalHead(init_std={self.init_std}, min_std={self.min_std}):"
                " 0 < min_std < init_std must hold. Raise init_std or lower min_std."
            )

    @property
    def num_outputs(self) -> int:
        """`size` means; with `is_std_state_dependent`, as many standard deviations too."""
        return 2 * self.size if self.is_std_state_dependent else self.size

    def init(self) -> dict[str, Array]:
        """Returns `{"std": [size]}`, the s of the formula; empty if the network puts it out."""
        if self.is_std_state_dependent:
            return {}
        return {"std": jnp.full(self.size, self._init_std_parameter)}

    def __call__(
        self, params: Mapping[str, Array], outputs: Float[Array, "*batch num_outputs"]
    ) -> Normal | TanhNormal:
        """Returns `[..., size]` normal or tanh-normal distributions."""
        mean = outputs[..., : self.size]
        if self.is_std_state_dependent:
            std_parameter = outputs[..., self.size :] + self._init_std_parameter
        else:
            std_parameter = jnp.broadcast_to(params["std"], mean.shape)
        log_std = jnp.logaddexp(std_parameter, math.log(self.min_std))
        return TanhNormal(mean, log_std) if self.is_squashed else Normal(mean, log_std)

    @property
    def _init_std_parameter(self) -> float:
        return math.log(self.init_std - self.min_std)


@dataclasses.dataclass(frozen=True)
class CategoricalHead(ActionHead):
    """Chooses one of `num_actions`; the network puts out the logits.

    Attributes:
      num_actions: number of choices, > 0.

    Raises:
      ValueError: if `num_actions` is not positive.
    """

    num_actions: int

    def __post_init__(self) -> None:
        if self.num_actions < 1:
            raise ValueError(
                f"CategoricalHead(num_actions={self.num_actions}): there is at least 1 action."
            )

    @property
    def num_outputs(self) -> int:
        """One logit for each action."""
        return self.num_actions

    def init(self) -> dict[str, Array]:
        """Returns no parameters."""
        return {}

    def __call__(
        self, params: Mapping[str, Array], outputs: Float[Array, "*batch num_outputs"]
    ) -> Categorical:
        """Returns `[...]` categorical distributions."""
        del params
        return Categorical(outputs)
