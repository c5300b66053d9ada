"""Proximal policy optimisation, on one device of several."""

import dataclasses
import functools
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.config import ConfigError
from ksim.envs import Environment
from ksim.nn import Model, RunningMoments, unroll
from ksim.parallel import Synchronisation, Traffic, environment_keys, mean_over_devices
from ksim.rl.algorithm import Algorithm, Iteration
from ksim.rl.batch import Batch
from ksim.rl.extensions import Extension
from ksim.rl.gae import generalized_advantages
from ksim.rl.learning_rate import LearningRateSchedule
from ksim.rl.minibatches import minibatch_members
from ksim.rl.policy import ActorCriticPolicy, normalize
from ksim.rl.ppo_loss import PPOCoefficients, PPOSamples, ppo_loss
from ksim.rl.trajectory import Trajectory
from ksim.rl.updates import Network, Progress, Updates, UpdateStep

Metrics = dict[str, Float[Array, ""]]

KL = "policy/kl"


@struct.dataclass
class PPOLearner:
    """State of PPO that learning changes; the same on every device between iterations.

    Attributes:
      model: the actor-critic; its array leaves are the parameters.
      optimizer_state: the optimizer's.
      learning_rate_scale: `[]` factor on the optimizer's step.
      extensions: the states of extensions, by name.
    """

    model: Model
    optimizer_state: Any
    learning_rate_scale: Float[Array, ""]
    extensions: dict[str, Any] = struct.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class PPO(Algorithm):
    """Clipped PPO on devices that agree by `synchronisation`.

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
      extensions: what else takes part in learning, in this order.
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
    extensions: tuple[Extension, ...] = ()

    def __post_init__(self) -> None:
        _ = self.updates  # checks the optimizer
        names = Counter(extension.name for extension in self.extensions)
        if repeated := [name for name, count in names.items() if count > 1]:
            raise ConfigError(
                f"Two extensions are called {repeated[0]}. Give one of them another name: override"
                " the property `name`."
            )
        is_first_the_last = self.synchronisation.first_step(self.num_updates) == (
            self.num_updates - 1
        )
        if self.learning_rate.is_adaptive and is_first_the_last:
            raise ConfigError(
                f"learning_rate_schedule={self.learning_rate.kind} follows how far the steps of an"
                " iteration move the policy, and an iteration of these options takes one step."
                " Write num_passes=4, or a smaller batch_size, or learning_rate_schedule=constant."
            )

    @functools.cached_property
    def updates(self) -> Updates:
        """The optimizer steps of the actor-critic."""
        return Updates(self.optimizer, self.synchronisation)

    @property
    def num_updates(self) -> int:
        """Updates in an iteration."""
        return self.num_batches * self.num_passes

    def iteration(self, num_steps: int) -> Iteration:
        """See `Algorithm.iteration`."""
        return Iteration(num_steps, self.num_updates)

    def init(self, model: Model, key: Key[Array, ""]) -> PPOLearner:
        """See `Algorithm.init`."""
        network = self.updates.init(model)
        return PPOLearner(
            model=network.parameters,
            optimizer_state=network.optimizer_state,
            learning_rate_scale=jnp.float32(1),
            extensions={
                extension.name: extension.init(jax.random.fold_in(key, index))
                for index, extension in enumerate(self.extensions)
            },
        )

    def initial_memory(self, environment: Environment, num_envs: int) -> Any:
        """See `Algorithm.initial_memory`; the extensions' memories, by name."""
        memories = {
            extension.name: extension.initial_memory(num_envs) for extension in self.extensions
        }
        return memories if jax.tree.leaves(memories) else ()

    def policy(
        self,
        learner: PPOLearner,
        normalizer: RunningMoments | None,
        is_deterministic: Bool[Array | np.ndarray, ""],
    ) -> ActorCriticPolicy:
        """See `Algorithm.policy`."""
        return ActorCriticPolicy(learner.model, normalizer, is_deterministic)

    def acting_part(self, learner: PPOLearner) -> Model:
        """See `Algorithm.acting_part`; the model."""
        return learner.model

    def with_acting_part(self, learner: PPOLearner, part: Model) -> PPOLearner:
        """See `Algorithm.with_acting_part`."""
        return dataclasses.replace(learner, model=part)

    def specs(self, learner: PPOLearner) -> PPOLearner:
        """See `Algorithm.specs`: large parameters are split, and their optimizer state."""
        specs = self.updates.specs(_network_of(learner))
        everywhere = super().specs(learner)
        return dataclasses.replace(
            everywhere, model=specs.parameters, optimizer_state=specs.optimizer_state
        )

    def traffic(self, learner: PPOLearner) -> Traffic:
        """See `Algorithm.traffic`; without that of extensions."""
        return self.updates.traffic(_network_of(learner), self.num_updates)

    def num_samples(self, num_steps: int) -> int:
        """See `Algorithm.num_samples`."""
        return self.num_passes * num_steps

    def update(
        self,
        learner: PPOLearner,
        memory: Any,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
        iteration: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[PPOLearner, Any, Metrics]:
        """See `Algorithm.update`."""
        deal_key, entropy_key = jax.random.split(key)
        rewarded = self._rewarded(learner, memory, trajectory, normalizer)
        batch, batch_metrics = self.prepare(rewarded, normalizer)
        batch = batch.in_segments(self.num_segments)
        members = minibatch_members(deal_key, batch.env_id, self.num_batches, self.num_passes)
        steps = self.updates.steps(members.shape[0])
        select = batch.selector()

        def one_update(
            carry: tuple[Progress, Array], inputs: tuple[UpdateStep, Array]
        ) -> tuple[tuple[Progress, Array], Metrics]:
            (progress, scale), (step, members) = carry, inputs
            minibatch = self._extended(select(members))
            update_key = jax.random.fold_in(entropy_key, step.index)

            def loss(model: Model) -> tuple[Float[Array, ""], Metrics]:
                return self._whole_loss(learner, model, minibatch, update_key)

            outcome = self.updates.take(progress, loss, step, scale, agree_on=(KL,))
            adapted = self.learning_rate.after_update(scale, outcome.agreed[KL], iteration)
            # Devices agree on the divergence only when they synchronise, and before the first
            # step of an iteration there is none to learn from.
            scale = jnp.where(step.is_synchronising & step.has_moved, adapted, scale)
            metrics = outcome.metrics | {"policy/gradient_norm": outcome.gradient_norm}
            if outcome.drift is not None:
                metrics |= {"device/replica_drift": outcome.drift}
            return (outcome.progress, scale), metrics

        scale = self.learning_rate.at(iteration, learner.learning_rate_scale)
        network = self.updates.begin(_network_of(learner))
        (progress, scale), metrics = jax.lax.scan(one_update, (network, scale), (steps, members))
        learner = dataclasses.replace(
            learner,
            model=progress.network.parameters,
            optimizer_state=progress.network.optimizer_state,
            learning_rate_scale=scale,
        )
        once = {"policy/learning_rate_scale": scale}
        if self.synchronisation.may_drift:
            once["device/replica_drift"] = jnp.max(metrics.pop("device/replica_drift"))
        metrics = jax.tree.map(jnp.mean, metrics)
        learner, memory, extension_metrics = self._update_extensions(
            learner, memory, trajectory, normalizer, iteration, key
        )
        metrics |= batch_metrics | extension_metrics
        metrics = mean_over_devices(metrics, self.synchronisation.axis_name)
        return learner, memory, once | metrics

    def prepare(
        self, trajectory: Trajectory, normalizer: RunningMoments | None
    ) -> tuple[Batch, Metrics]:
        """Turns a trajectory into samples for the loss.

        All statistics are over the valid steps of all devices, gathered once for an iteration, so
        that the updates themselves need no communication but their gradients'.
        """
        kept = trajectory.kept
        value = kept["value"]
        advantage = generalized_advantages(
            self.reward_scaling * trajectory.reward,
            value,
            trajectory.final["value"],
            trajectory.is_terminated,
            trajectory.is_truncated,
            trajectory.is_valid,
            self.gamma,
            self.lam,
        )
        value_target = advantage + value
        is_valid = trajectory.is_valid.astype(jnp.float32)

        def means(*samples: Array) -> tuple[Array, ...]:
            """Returns means over all samples of all devices; invalid ones count as 0."""
            local = tuple(jnp.mean(jnp.where(trajectory.is_valid, x, 0)) for x in samples)
            return mean_over_devices(local, self.synchronisation.axis_name)

        share_valid, *sums = means(is_valid, value, value_target, advantage)
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
            latent=kept["latent"],
            samples=PPOSamples(
                log_prob=kept["log_prob"],
                value=value,
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

    def _whole_loss(
        self, learner: PPOLearner, model: Model, minibatch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns the loss with the terms of extensions."""
        loss, metrics = self.loss(model, minibatch, key)
        for index, extension in enumerate(self.extensions):
            state = learner.extensions[extension.name]
            own_key = _own_key(key, index)
            added, own_metrics = extension.loss(state, model, minibatch, own_key)
            loss += added
            metrics |= _named(extension, own_metrics)
        return loss, metrics

    def _extended(self, minibatch: Batch) -> Batch:
        for extension in self.extensions:
            minibatch = extension.extend(minibatch)
        return minibatch

    def _rewarded(
        self,
        learner: PPOLearner,
        memory: Any,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
    ) -> Trajectory:
        """Returns the trajectory with the rewards of extensions."""
        reward = trajectory.reward
        for extension in self.extensions:
            state, own_memory = learner.extensions[extension.name], _memory_of(extension, memory)
            added = extension.reward(state, own_memory, trajectory, normalizer)
            reward += jnp.where(trajectory.is_valid, added, 0.0)
        return dataclasses.replace(trajectory, reward=reward)

    def _update_extensions(
        self,
        learner: PPOLearner,
        memory: Any,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
        iteration: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[PPOLearner, Any, Metrics]:
        """Lets extensions learn; each has a key of its own."""
        states: dict[str, Any] = {}
        memories: dict[str, Any] = {}
        metrics: Metrics = {}
        for index, extension in enumerate(self.extensions):
            name = extension.name
            states[name], memories[name], own_metrics = extension.update(
                learner.extensions[name],
                _memory_of(extension, memory),
                trajectory,
                normalizer,
                iteration,
                _own_key(key, index),
            )
            metrics |= _named(extension, own_metrics)
        memory = memories if memory else memory
        return dataclasses.replace(learner, extensions=states), memory, metrics


def _network_of(learner: PPOLearner) -> Network:
    return Network(learner.model, learner.optimizer_state)


def _memory_of(extension: Extension, memory: Any) -> Any:
    """Returns an extension's memory; none is kept where no extension has any."""
    return memory[extension.name] if memory else ()


def _own_key(key: Key[Array, ""], index: int) -> Key[Array, ""]:
    """Returns the key of an extension; steps and updates, counted from 0, never reach it."""
    return jax.random.fold_in(key, 0xFFFFFFFF - index)


def _named(extension: Extension, metrics: Metrics) -> Metrics:
    return {f"extension/{extension.name}/{name}": value for name, value in metrics.items()}
