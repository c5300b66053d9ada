"""What acts in a rollout: the contract, and an actor-critic that keeps it."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Key

from ksim.nn import Model, ModelOutput, RunningMoments, unroll


class Decision(NamedTuple):
    """What a policy decided for one environment.

    Attributes:
      action: for the environment.
      carry: the policy's next memory of the episode.
      kept: arrays by name that a trajectory keeps of the decision, beside the observations.
    """

    action: Array
    carry: Any
    kept: dict[str, Array]


class Policy(ABC):
    """Acts in a rollout; a pytree, given by `Algorithm.policy`.

    Besides acting, it says what a trajectory keeps: `Decision.kept` step by step, `review` along
    all steps at once, and `conclude` after the last one. What learns finds the first two in
    `Trajectory.kept` and the last in `Trajectory.final`.
    """

    @abstractmethod
    def initial_carry(self) -> Any:
        """Returns the memory of one environment at the start of an episode; `()` for none."""

    @abstractmethod
    def act(self, observations: dict[str, Array], carry: Any, key: Key[Array, ""]) -> Decision:
        """Decides what one environment does next.

        Args:
          observations: what it shows, by name, not normalized.
          carry: the memory of it.
          key: for what is drawn.
        """

    def review(
        self, observations: dict[str, Array], carry: Any, is_valid: Bool[Array, "T num_envs"]
    ) -> dict[str, Array]:
        """Returns arrays `[T, num_envs, ...]` by name to keep of all steps; none by default.

        What takes no part in acting is computed here, in a few large products.

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
          observations: what it shows after the last step, by name.
          carry: the memory of it.
        """
        del observations, carry
        return {}


@struct.dataclass
class ActorCriticPolicy(Policy):
    """Acts by an actor-critic; keeps `latent`, `log_prob` and `value`.

    `latent` is what was drawn, before squashing; `log_prob` its log-density; `value` the critic's
    estimate, in `Trajectory.final` that after the last step.

    Attributes:
      model: the actor-critic; its array leaves are the parameters.
      normalizer: moments of the observations; `None` leaves them as they are.
      is_deterministic: `[]` whether to take the mode instead of a draw. An input of the compiled
        program: evaluation runs the program that training runs.
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
    """Returns what the model sees of observations `[..., *shape]`."""
    return observations if normalizer is None else normalizer.normalize(observations)
