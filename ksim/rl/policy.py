"""How a model acts."""

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
      latent: what was drawn; the action before squashing.
      log_prob: `[]` log-density of `latent`.
      value: `[]` the critic's estimate.
      carry: the model's next memory.
    """

    action: Array
    latent: Array
    log_prob: Float[Array, ""]
    value: Float[Array, ""]
    carry: Any


@struct.dataclass
class Policy:
    """A model, the normalizer of its observations, and whether it explores.

    Attributes:
      model: the actor-critic; its array leaves are the parameters.
      normalizer: moments of the observations; `None` leaves them as they are.
      is_deterministic: `[]` whether to take the mode instead of a draw. An input of the compiled
        program: evaluation runs the program that training runs.
    """

    model: Model
    normalizer: RunningMoments | None
    is_deterministic: Bool[Array | np.ndarray, ""]

    def act(self, observations: dict[str, Array], carry: Any, key: Key[Array, ""]) -> Decision:
        """Decides what one environment does next."""
        output = self.evaluate(observations, carry)
        latent = jnp.where(
            self.is_deterministic, output.distribution.mode(), output.distribution.sample(key)
        )
        return Decision(
            action=output.distribution.action(latent),
            latent=latent,
            log_prob=output.distribution.log_prob(latent),
            value=output.value,
            carry=output.carry,
        )

    def evaluate(self, observations: dict[str, Array], carry: Any) -> ModelOutput:
        """Returns the model's output for the observations of one environment."""
        return self.model(normalize(self.normalizer, observations), carry)

    def values(
        self,
        observations: dict[str, Array],
        carry: Any,
        is_valid: Bool[Array, "T num_envs"],
    ) -> Float[Array, "T num_envs"]:
        """Returns the critic's estimates along a trajectory; the arguments are `unroll`'s."""
        normalized = normalize(self.normalizer, observations)
        return unroll(self.model, normalized, carry, is_valid)[1]


def normalize(
    normalizer: RunningMoments | None, observations: dict[str, Array]
) -> dict[str, Array]:
    """Returns what the model sees of observations `[..., *shape]`."""
    return observations if normalizer is None else normalizer.normalize(observations)
