"""Samples of a trajectory, prepared for the loss and cut into minibatches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Int

from ksim.rl.ppo_loss import PPOSamples
from ksim.xla.joined import Joined


@struct.dataclass
class Batch:
    """A prepared trajectory; arrays `[T, num_envs, ...]` unless said otherwise.

    Attributes:
      observations: as the model sees them, by name.
      latent: the draws of the policy.
      samples: inputs of the loss at each step.
      is_valid: whether it was a step, and not the start of an episode.
      initial_carry: `[num_envs, ...]` the model's memory before the first step.
      env_id: `[num_envs]` global ids.
    """

    observations: dict[str, Array]
    latent: Array
    samples: PPOSamples
    is_valid: Bool[Array, "T num_envs"]
    initial_carry: Any
    env_id: Int[Array, "num_envs"]

    def selector(self) -> Callable[[Int[Array, "group"]], "Batch"]:
        """Returns a function that selects the batch of some environments, by local index.

        Arrays are joined here, once, so that each minibatch gathers one array and not dozens.
        Values where there was no step are useless, and may be NaN: they become 0.
        """
        by_time = Joined.of((self.observations, self.latent, self.samples, self.is_valid), 2)
        is_step = self.is_valid[..., None]
        by_time = jax.tree.map(lambda x: jnp.where(is_step, x, jnp.zeros_like(x)), by_time)
        by_env = Joined.of((self.initial_carry, self.env_id), 1)

        def select(members: Int[Array, "group"]) -> Batch:
            steps = jax.tree.map(lambda x: jnp.take(x, members, axis=1, mode="clip"), by_time)
            envs = jax.tree.map(lambda x: jnp.take(x, members, axis=0, mode="clip"), by_env)
            return Batch(*steps.split(), *envs.split())

        return select

    def in_segments(self, num_segments: int) -> "Batch":
        """Returns the batch with each environment's steps cut into pieces: more environments.

        Piece `s` of environment `e` is environment `e * num_segments + s` of the result, whose
        arrays are `[T / num_segments, num_envs * num_segments, ...]`.

        Args:
          num_segments: number of pieces; a divisor of T.

        Raises:
          ValueError: if `num_segments` does not divide T, or the model has a memory, whose value
            in the middle of a rollout is unknown.
        """
        num_steps, num_envs = self.is_valid.shape
        if num_segments == 1:
            return self
        if num_steps % num_segments or jax.tree.leaves(self.initial_carry):
            raise ValueError(
                f"A rollout of {num_steps} steps cannot be cut into {num_segments} pieces: their"
                " number must divide its length, and the model must have no memory."
            )

        def cut(array: Array) -> Array:
            shape = array.shape[2:]
            pieces = array.reshape(num_segments, -1, num_envs, *shape)
            return jnp.moveaxis(pieces, 0, 2).reshape(-1, num_envs * num_segments, *shape)

        ids = self.env_id[:, None] * num_segments + jnp.arange(num_segments)[None]
        return Batch(
            observations=jax.tree.map(cut, self.observations),
            latent=cut(self.latent),
            samples=jax.tree.map(cut, self.samples),
            is_valid=cut(self.is_valid),
            initial_carry=self.initial_carry,
            env_id=ids.ravel(),
        )
