"""Adds the mirror images of samples to minibatches."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ksim.rl.batch import Batch
from ksim.rl.extensions.base import Extension


@dataclasses.dataclass(frozen=True)
class MirrorImages(Extension):
    """Adds the mirror image of every sample to each minibatch.

    For a robot that is the same on both sides, and a task that prefers neither, the image of a
    step has the advantage of the step. Log-probabilities are kept, so that the ratio of an image
    pulls the policy towards symmetry. The model must have no memory: that of an image is unknown.

    Attributes:
      observations: mirrors observations `[..., size]`, by name, as the model sees them: normalized
        ones with `is_observation_normalized`.
      latent: mirrors draws of the policy, `[..., action_size]`.

    Reference:
      Mittal et al. 2024, "Symmetry considerations for learning task symmetric robot policies",
      arXiv:2403.04359, section IV-B.
    """

    observations: Callable[[dict[str, Array]], dict[str, Array]]
    latent: Callable[[Array], Array]

    def extend(self, minibatch: Batch) -> Batch:
        """See `Extension.extend`: twice the environments.

        Raises:
          ValueError: if the model has a memory.
        """
        if jax.tree.leaves(minibatch.initial_carry):
            raise ValueError(
                "MirrorImages: the model has a memory, and that of a mirror image is not known."
                " Write network=mlp."
            )
        image = dataclasses.replace(
            minibatch,
            observations=self.observations(minibatch.observations),
            latent=self.latent(minibatch.latent),
            # Ids of their own: the random numbers of an environment belong to its id.
            env_id=~minibatch.env_id,
        )
        by_env = ("env_id", "initial_carry")

        def join(name: str) -> Any:
            axis = 0 if name in by_env else 1
            return jax.tree.map(
                lambda *parts: jnp.concatenate(parts, axis),
                getattr(minibatch, name),
                getattr(image, name),
            )

        return Batch(**{field.name: join(field.name) for field in dataclasses.fields(Batch)})
