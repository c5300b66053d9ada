"""Proximal policy optimisation, on one device of several."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.nn import Model, RunningMoments, unroll
from ksim.parallel import (
    Synchronisation,
    average_replicas,
    environment_keys,
    mean_over_devices,
    replica_drift,
)
from ksim.rl.algorithm import Algorithm, Learner
from ksim.rl.gae import generalized_advantages
from ksim.rl.learning_rate import LearningRateSchedule
from ksim.rl.minibatches import minibatch_members
from ksim.rl.policy import normalize
from ksim.rl.ppo_loss import PPOCoefficients, PPOSamples, ppo_loss
from ksim.rl.trajectory import Trajectory

Metrics = dict[str, Float[Array, ""]]


@struct.dataclass
class Batch:
    """A prepared trajectory; arrays `[T, num_envs, ...]` unless said otherwise.

    Attributes:
      observations: as the model sees them, by name.
      latent: what the policy drew.
      samples: what the loss needs of each step.
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

    def select(self, members: Int[Array, "group"]) -> "Batch":
        """Returns the batch of some environments, by local index."""

        def by_time(tree: Any) -> Any:
            return jax.tree.map(lambda x: jnp.take(x, members, axis=1), tree)

        def by_env(tree: Any) -> Any:
            return jax.tree.map(lambda x: jnp.take(x, members, axis=0), tree)

        return Batch(
            observations=by_time(self.observations),
            latent=by_time(self.latent),
            samples=by_time(self.samples),
            is_valid=by_time(self.is_valid),
            initial_carry=by_env(self.initial_carry),
            env_id=by_env(self.env_id),
        )

    def in_segments(self, num_segments: int) -> "Batch":
        """Returns the batch with each environment's steps cut into pieces that count as its own.

        Piece `s` of environment `e` is environment `e * num_segments + s` of the result, whose
        arrays are `[T / num_segments, num_envs * num_segments, ...]`.

        Args:
          num_segments: how many pieces; a divisor of T.

        Raises:
          ValueError: if `num_segments` does not divide T, or the model has a memory: what it
            remembered in the middle of a rollout is not known.
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


@dataclasses.dataclass(frozen=True)
class PPO(Algorithm):
    """Clipped PPO whose devices agree as `synchronisation` says.

    Attributes:
      optimizer: turns gradients into steps (clipping included).
      synchronisation: when and how devices agree.
      coefficients: the numbers in the loss.
      learning_rate: how the optimizer's step is scaled during the run.
      gamma: discount.
      lam: GAE weight.
      num_batches: minibatches in a pass.
      num_passes: passes over a trajectory.
      has_normalized_advantages: whether advantages are scaled to mean 0 and deviation 1, once for
        an iteration, over all devices.
      num_segments: pieces that a rollout is cut into, in time; the pieces are dealt to minibatches
        as environments are, so that a few environments can make many minibatches.
    """

    optimizer: optax.GradientTransformation
    synchronisation: Synchronisation
    coefficients: PPOCoefficients
    learning_rate: LearningRateSchedule
    gamma: float
    lam: float
    num_batches: int
    num_passes: int
    has_normalized_advantages: bool = True
    num_segments: int = 1

    def init(self, model: Model) -> Learner:
        """See `Algorithm.init`."""
        return Learner(
            model=model,
            optimizer_state=self.optimizer.init(model),
            learning_rate_scale=jnp.float32(1),
        )

    def update(
        self,
        learner: Learner,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
        iteration: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[Learner, Metrics]:
        """See `Algorithm.update`."""
        deal_key, entropy_key = jax.random.split(key)
        batch, batch_metrics = self.prepare(trajectory, normalizer)
        batch = batch.in_segments(self.num_segments)
        members = minibatch_members(deal_key, batch.env_id, self.num_batches, self.num_passes)
        num_updates = members.shape[0]
        scale = self.learning_rate.at(iteration, learner.learning_rate_scale)
        learner = dataclasses.replace(learner, learning_rate_scale=scale)

        def one_update(learner: Learner, inputs: tuple[Array, Array, Array]) -> tuple[Any, Metrics]:
            index, members, is_synchronising = inputs
            update_key = jax.random.fold_in(entropy_key, index)
            return self._step(learner, batch.select(members), is_synchronising, update_key)

        learner, metrics = lax.scan(
            one_update,
            learner,
            (jnp.arange(num_updates), members, self.synchronisation.schedule(num_updates)),
        )
        drift = jnp.max(metrics.pop("device/replica_drift"))
        metrics = jax.tree.map(jnp.mean, metrics)
        metrics = mean_over_devices(metrics | batch_metrics, self.synchronisation.axis_name)
        if self.synchronisation.is_every_update:
            drift = replica_drift(learner.model, self.synchronisation.axis_name)
        return learner, metrics | {
            "device/replica_drift": drift,
            "policy/learning_rate_scale": learner.learning_rate_scale,
        }

    def prepare(
        self, trajectory: Trajectory, normalizer: RunningMoments | None
    ) -> tuple[Batch, Metrics]:
        """Turns a trajectory into samples for the loss.

        All statistics are over the valid steps of all devices, gathered once for an iteration, so
        that the updates themselves need no communication but their gradients'.
        """
        axis_name = self.synchronisation.axis_name
        advantage = generalized_advantages(
            trajectory.reward,
            trajectory.value,
            trajectory.final_value,
            trajectory.is_terminated,
            trajectory.is_truncated,
            trajectory.is_valid,
            self.gamma,
            self.lam,
        )
        value_target = advantage + trajectory.value
        weight = trajectory.is_valid.astype(jnp.float32)
        weight = weight / jnp.maximum(mean_over_devices(jnp.mean(weight), axis_name), 1e-8)

        def mean(x: Array) -> Array:
            return mean_over_devices(jnp.mean(weight * x), axis_name)

        target_variance = mean(jnp.square(value_target - mean(value_target)))
        error_variance = mean(jnp.square(advantage - mean(advantage)))
        metrics = {
            "value/mean": mean(trajectory.value),
            "value/explained_variance": 1 - error_variance / jnp.maximum(target_variance, 1e-8),
        }
        if self.has_normalized_advantages:
            advantage = (advantage - mean(advantage)) / (jnp.sqrt(error_variance) + 1e-8)
        batch = Batch(
            observations=normalize(normalizer, trajectory.observations),
            latent=trajectory.latent,
            samples=PPOSamples(
                log_prob=trajectory.log_prob,
                value=trajectory.value,
                advantage=advantage,
                value_target=value_target,
                weight=weight,
            ),
            is_valid=trajectory.is_valid,
            initial_carry=trajectory.initial_carry,
            env_id=trajectory.env_id,
        )
        return batch, metrics

    def loss(
        self, model: Model, minibatch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns this device's loss and metrics; no device knows of another here."""
        distribution, value = unroll(
            model, minibatch.observations, minibatch.initial_carry, minibatch.is_valid
        )
        steps = jnp.arange(minibatch.is_valid.shape[0])
        keys = jax.vmap(
            lambda step: environment_keys(jax.random.fold_in(key, step), minibatch.env_id)
        )(steps)
        entropy = jax.vmap(jax.vmap(lambda one, key: one.entropy(key)))(distribution, keys)
        log_prob = distribution.log_prob(minibatch.latent)
        return ppo_loss(log_prob, value, entropy, minibatch.samples, self.coefficients)

    def _step(
        self,
        learner: Learner,
        minibatch: Batch,
        is_synchronising: Bool[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[Learner, Metrics]:
        """One optimizer step. The local loss is differentiated, then gradients are averaged."""
        gradient = jax.grad(self.loss, has_aux=True)
        gradients, metrics = gradient(learner.model, minibatch, key)
        gradients, kl = self._where_synchronising(
            is_synchronising, self._agree_on_gradients, (gradients, metrics["policy/kl"])
        )
        scale = learner.learning_rate_scale
        steps, optimizer_state = self.optimizer.update(
            gradients, learner.optimizer_state, learner.model
        )
        model = optax.apply_updates(learner.model, jax.tree.map(lambda step: scale * step, steps))
        adapted = self.learning_rate.after_update(scale, kl)
        learner = Learner(
            model=model,
            optimizer_state=optimizer_state,
            # Devices agree on the divergence only when they synchronise.
            learning_rate_scale=jnp.where(is_synchronising, adapted, scale),
        )
        metrics["policy/gradient_norm"] = optax.tree.norm(gradients)
        if self.synchronisation.is_every_update:
            return learner, metrics | {"device/replica_drift": jnp.float32(0)}
        learner, drift = self._where_synchronising(
            is_synchronising, self._agree_on_parameters, (learner, jnp.float32(0))
        )
        return learner, metrics | {"device/replica_drift": drift}

    def _where_synchronising(self, is_synchronising: Array, agree: Any, operand: Any) -> Any:
        """Calls `agree` on synchronising updates only; the others communicate nothing."""
        if self.synchronisation.is_every_update:
            return agree(operand)
        return lax.cond(is_synchronising, agree, lambda operand: operand, operand)

    def _agree_on_gradients(self, operand: tuple[Any, Array]) -> tuple[Any, Array]:
        gradients, kl = operand
        axis_name = self.synchronisation.axis_name
        return self.synchronisation.gradients(gradients), mean_over_devices(kl, axis_name)

    def _agree_on_parameters(self, operand: tuple[Learner, Array]) -> tuple[Learner, Array]:
        learner, _ = operand
        axis_name = self.synchronisation.axis_name
        return average_replicas(learner, axis_name), replica_drift(learner.model, axis_name)
