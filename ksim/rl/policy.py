"""The contract of policies, and the policy of an actor-critic."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Key

from ksim.nn import Model, ModelOutput, RunningMoments, unroll


class Decision(NamedTuple):
    """Decision of a policy for one environment.

    Attributes:
      action: action of the environment.
      carry: the policy's next memory of the episode.
      kept: arrays by name that a trajectory keeps of the decision, beside the observations.
    """

    action: Array
    carry: Any
    kept: dict[str, Array]


class Policy(ABC):
    """Acts in a rollout; a pytree, given by `Algorithm.policy`.

    Besides acting, it chooses the arrays that a trajectory keeps: `Decision.kept` step by step,
    `review` along all steps at once, and `conclude` after the last one. Algorithms find the first
    two in `Trajectory.kept` and the last in `Trajectory.final`.
    """

    @abstractmethod
    def initial_carry(self) -> Any:
        """Returns the memory of one environment at the start of an episode; `()` for none."""

    @abstractmethod
    def act(self, observations: dict[str, Array], carry: Any, key: Key[Array, ""]) -> Decision:
        """Decides on the next action of one environment.

        Args:
          observations: its observations by name, not normalized.
          carry: the memory of its episode.
          key: key of the draws.
        """

    def review(
        self, observations: dict[str, Array], carry: Any, is_valid: Bool[Array, "T num_envs"]
    ) -> dict[str, Array]:
        """Returns arrays `[T, num_envs, ...]` by name to keep of all steps; none by default.

        Compute here whatever acting does not need, in a few large products.

        Args:
          observations: `[T, num_envs, ...]` by name.
          carry: `[num_envs, ...]` the memory before the first step.
          is_valid: whether it was a step, and not the start of an episode.
        """
        del observations, carry, is_valid
        return {}

    def conclude(self, observations: dict[str, Array], carry: Any) -> dict[str, Array]:
        """Returns arrays by name to keep of one environment after the last step; none by default.

        Args:
          observations: its observations after the last step, by name.
          carry: the memory of its episode.
        """
        del observations, carry
        return {}


@struct.dataclass
class ActorCriticPolicy(Policy):
    """Acts by an actor-critic; keeps `latent`, `log_prob` and `value`.

    `latent` is the draw before squashing; `log_prob` its log-density; `value` the critic's
    estimate, in `Trajectory.final` the one after the last step.

    Attributes:
      model: the actor-critic; its array leaves are the parameters.
      normalizer: moments of the observations; `None` leaves them as they are.
      is_deterministic: `[]` whether to take the mode instead of a draw. An input of the compiled
        program: evaluation and training run the same one.
    """

    model: Model
    normalizer: RunningMoments | None
    is_deterministic: Bool[Array | np.ndarray, ""]

    def initial_carry(self) -> Any:
        """See `Policy.initial_carry`; the model's."""
        return self.model.initial_carry()

    def act(self, observations: dict[str, Array], carry: Any, key: Key[Array, ""]) -> Decision:
        """See `Policy.act`."""
        output = self.evaluate(observations, carry)
        latent = jnp.where(
            self.is_deterministic, output.distribution.mode(), output.distribution.sample(key)
        )
        return Decision(
            action=output.distribution.action(latent),
            carry=output.carry,
            kept={"latent": latent, "log_prob": output.distribution.log_prob(latent)},
        )

    def evaluate(self, observations: dict[str, Array], carry: Any) -> ModelOutput:
        """Returns the model's output for the observations of one environment."""
        return self.model(normalize(self.normalizer, observations), carry)

    def review(
        self, observations: dict[str, Array], carry: Any, is_valid: Bool[Array, "T num_envs"]
    ) -> dict[str, Array]:
        """See `Policy.review`: the critic's estimates."""
        normalized = normalize(self.normalizer, observations)
        value: Float[Array, "T num_envs"] = unroll(self.model, normalized, carry, is_valid)[1]
        return {"value": value}

    def conclude(self, observations: dict[str, Array], carry: Any) -> dict[str, Array]:
        """See `Policy.conclude`: the critic's estimate."""
        return {"value": self.evaluate(observations, carry).value}


def normalize(
    normalizer: RunningMoments | None, observations: dict[str, Array]
) -> dict[str, Array]:
    """Returns observations `[..., *shape]` as the model sees them."""
    return observations if normalizer is None else normalizer.normalize(observations)
