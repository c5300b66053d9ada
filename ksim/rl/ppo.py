"""Proximal policy optimisation, on one device of several."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.config import ConfigError
from ksim.nn import Model, RunningMoments, unroll
from ksim.parallel import (
    Synchronisation,
    Traffic,
    average_replicas,
    environment_keys,
    mean_over_devices,
    num_floats,
    parameter_sizes,
)
from ksim.rl.algorithm import Algorithm, Learner
from ksim.rl.gae import generalized_advantages
from ksim.rl.learning_rate import LearningRateSchedule
from ksim.rl.minibatches import minibatch_members
from ksim.rl.optimizers import (
    check_optimizer_takes_shards,
    optimizer_state_specs,
    optimizer_update,
)
from ksim.rl.policy import normalize
from ksim.rl.ppo_loss import PPOCoefficients, PPOSamples, ppo_loss
from ksim.rl.progress import Pending, Progress, Turn
from ksim.rl.trajectory import Trajectory
from ksim.xla.joined import Joined

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

    def selector(self) -> Callable[[Int[Array, "group"]], "Batch"]:
        """Returns what gives the batch of some environments, by local index.

        Arrays are joined here, once, so that each minibatch gathers one array and not dozens. What
        stands where there was no step is of no use, and may be no number: it becomes 0.
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
      reward_scaling: factor on rewards; the critic learns of scaled rewards.
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
    reward_scaling: float = 1.0
    has_normalized_advantages: bool = True
    num_segments: int = 1

    def __post_init__(self) -> None:
        check_optimizer_takes_shards(self.optimizer, self.synchronisation.shards)
        num_updates = self.num_batches * self.num_passes
        is_first_the_last = self.synchronisation.first_step(num_updates) == num_updates - 1
        if self.learning_rate.is_adaptive and is_first_the_last:
            raise ConfigError(
                f"learning_rate_schedule={self.learning_rate.kind} follows how far the steps of an"
                " iteration move the policy, and an iteration of these options takes one step."
                " Write num_passes=4, or a smaller batch_size, or learning_rate_schedule=constant."
            )

    def specs(self, learner: Learner) -> Learner:
        """See `Algorithm.specs`: large parameters are split, and their optimizer state."""
        everywhere = super().specs(learner)
        shards = self.synchronisation.shards
        if shards.axis_name is None:
            return everywhere
        return dataclasses.replace(
            everywhere,
            model=shards.specs,
            optimizer_state=optimizer_state_specs(
                learner.optimizer_state, learner.model, shards.specs
            ),
        )

    def traffic(self, learner: Learner) -> Traffic:
        """See `Algorithm.traffic`."""
        synchronisation = self.synchronisation
        sizes, split_sizes = parameter_sizes(learner.model, self.specs(learner).model)
        return Traffic(
            sizes,
            self.num_batches * self.num_passes,
            period=synchronisation.period,
            mode=synchronisation.mode,
            compression=synchronisation.compression.kind,
            num_optimizer_numbers=num_floats(learner.optimizer_state),
            fsdp_devices=synchronisation.shards.size,
            split_sizes=split_sizes,
        )

    def num_samples(self, num_steps: int) -> int:
        """See `Algorithm.num_samples`."""
        return self.num_passes * num_steps

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

        synchronisation = self.synchronisation
        turns = Turn(
            index=jnp.arange(num_updates),
            is_synchronising=synchronisation.schedule(num_updates),
            is_last=jnp.arange(num_updates) == num_updates - 1,
            has_moved=jnp.arange(num_updates) > synchronisation.first_step(num_updates),
            iteration=jnp.full(num_updates, iteration),
        )

        select = batch.selector()

        def one_update(progress: Progress, inputs: tuple[Turn, Array]) -> tuple[Progress, Metrics]:
            turn, members = inputs
            update_key = jax.random.fold_in(entropy_key, turn.index)
            gradients, metrics = self._gradients(progress.learner, select(members), update_key)
            if progress.pending is None:
                return self._step(progress, gradients, metrics, turn)
            progress = dataclasses.replace(progress, pending=progress.pending.add(gradients))
            return lax.cond(
                turn.is_synchronising, self._release, self._hold, progress, metrics, turn
            )

        pending = None
        if synchronisation.is_accumulating:
            pending = Pending(learner.model, jnp.float32(0)).emptied()
        progress = Progress(learner, pending, synchronisation.no_errors(learner.model))
        progress, metrics = lax.scan(one_update, progress, (turns, members))
        learner = progress.learner
        once = {"policy/learning_rate_scale": learner.learning_rate_scale}
        if synchronisation.may_drift:
            once["device/replica_drift"] = jnp.max(metrics.pop("device/replica_drift"))
        metrics = jax.tree.map(jnp.mean, metrics)
        return learner, once | mean_over_devices(metrics | batch_metrics, synchronisation.axis_name)

    def prepare(
        self, trajectory: Trajectory, normalizer: RunningMoments | None
    ) -> tuple[Batch, Metrics]:
        """Turns a trajectory into samples for the loss.

        All statistics are over the valid steps of all devices, gathered once for an iteration, so
        that the updates themselves need no communication but their gradients'.
        """
        advantage = generalized_advantages(
            self.reward_scaling * trajectory.reward,
            trajectory.value,
            trajectory.final_value,
            trajectory.is_terminated,
            trajectory.is_truncated,
            trajectory.is_valid,
            self.gamma,
            self.lam,
        )
        value_target = advantage + trajectory.value
        is_valid = trajectory.is_valid.astype(jnp.float32)

        def means(*samples: Array) -> tuple[Array, ...]:
            """Over all samples of all devices, those that are not valid counted as 0."""
            local = tuple(jnp.mean(jnp.where(trajectory.is_valid, x, 0)) for x in samples)
            return mean_over_devices(local, self.synchronisation.axis_name)

        share_valid, *sums = means(is_valid, trajectory.value, value_target, advantage)
        share_valid = jnp.maximum(share_valid, 1e-8)
        mean_value, mean_target, mean_advantage = (x / share_valid for x in sums)
        target_variance, error_variance = (
            x / share_valid
            for x in means(
                jnp.square(value_target - mean_target), jnp.square(advantage - mean_advantage)
            )
        )
        metrics = {
            "value/mean": mean_value,
            "value/explained_variance": 1 - error_variance / jnp.maximum(target_variance, 1e-8),
        }
        if self.has_normalized_advantages:
            advantage = (advantage - mean_advantage) / (jnp.sqrt(error_variance) + 1e-8)
        batch = Batch(
            observations=normalize(normalizer, trajectory.observations),
            latent=trajectory.latent,
            samples=PPOSamples(
                log_prob=trajectory.log_prob,
                value=trajectory.value,
                advantage=advantage,
                value_target=value_target,
                weight=is_valid / share_valid,
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

    def _gradients(
        self, learner: Learner, minibatch: Batch, key: Key[Array, ""]
    ) -> tuple[Any, Metrics]:
        """Differentiates the local loss; the only average is that of devices that act as one."""
        shards = self.synchronisation.shards

        def loss(model: Model) -> tuple[Float[Array, ""], Metrics]:
            return self.loss(shards.gather(model), minibatch, key)

        gradients, metrics = jax.grad(loss, has_aux=True)(learner.model)
        return shards.average(gradients), metrics

    def _step(
        self, progress: Progress, gradients: Any, metrics: Metrics, turn: Turn
    ) -> tuple[Progress, Metrics]:
        """Takes one optimizer step, with the average of the gradients if it synchronises."""

        def agree(operand: tuple[Any, Array, Any]) -> tuple[Any, Array, Any]:
            return self.synchronisation.agree(*operand, turn.is_last)

        gradients, kl, errors = self._where_synchronising(
            turn, agree, (gradients, metrics["policy/kl"], progress.errors)
        )
        learner = progress.learner
        scale = learner.learning_rate_scale
        shards = self.synchronisation.shards
        steps, optimizer_state = optimizer_update(
            self.optimizer, shards, gradients, learner.optimizer_state, learner.model
        )
        model = optax.apply_updates(learner.model, jax.tree.map(lambda step: scale * step, steps))
        adapted = self.learning_rate.after_update(scale, kl, turn.iteration)
        learner = Learner(
            model=model,
            optimizer_state=optimizer_state,
            # Devices agree on the divergence only when they synchronise, and before the first
            # step of an iteration there is none to learn from.
            learning_rate_scale=jnp.where(turn.is_synchronising & turn.has_moved, adapted, scale),
        )
        metrics |= self._norm(gradients)
        if self.synchronisation.may_drift:
            learner, drift = self._where_synchronising(
                turn, self._agree_on_parameters, (learner, jnp.float32(0))
            )
            metrics |= {"device/replica_drift": drift}
        return dataclasses.replace(progress, learner=learner, errors=errors), metrics

    def _release(
        self, progress: Progress, metrics: Metrics, turn: Turn
    ) -> tuple[Progress, Metrics]:
        """Takes one step with the mean of all gradients that have waited."""
        pending = progress.pending
        assert pending is not None
        progress = dataclasses.replace(progress, pending=pending.emptied())
        return self._step(progress, pending.mean(), metrics, turn)

    def _hold(self, progress: Progress, metrics: Metrics, turn: Turn) -> tuple[Progress, Metrics]:
        """Lets the gradients wait."""
        assert progress.pending is not None
        return progress, metrics | self._norm(progress.pending.mean())

    def _norm(self, gradients: Any) -> Metrics:
        return {"policy/gradient_norm": self.synchronisation.shards.norm(gradients)}

    def _where_synchronising(self, turn: Turn, agree: Any, operand: Any) -> Any:
        """Calls `agree` on synchronising updates only; the others communicate nothing."""
        if not self.synchronisation.may_drift:
            # Every update that takes a step synchronises.
            return agree(operand)
        return lax.cond(turn.is_synchronising, agree, lambda operand: operand, operand)

    def _agree_on_parameters(self, operand: tuple[Learner, Array]) -> tuple[Learner, Array]:
        learner, _ = operand
        averaged = average_replicas(learner, self.synchronisation.replica_axis_name)
        return averaged, self.synchronisation.drift(learner.model, averaged.model)
