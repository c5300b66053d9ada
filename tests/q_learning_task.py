"""A Q-learner of the cart-pole: small, off policy, with a replay memory split over devices."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

import ksim
from ksim.parallel import Synchronisation, environment_keys, mean_over_devices
from ksim.rl import Algorithm, Decision, Iteration, Policy
from ksim.rl.updates import Network, Updates

CAPACITY, SAMPLES = 1024, 8  # transitions kept of an environment; drawn of it for an update
GAMMA, TARGET_RATE = 0.99, 0.01
NUM_UPDATES, NUM_ACTING_ONLY, NUM_EXPLORING = 16, 4, 60  # in an iteration; iterations
LAST_EPSILON = 0.02


class Layer(NamedTuple):
    """Weights `[in, out]` and biases `[out]`."""

    kernel: Any
    bias: Any


def q_values(layers, observation):
    """Returns the value of each action, `[2]`, of one observation `[4]`."""
    for layer in layers[:-1]:
        observation = jax.nn.relu(observation @ layer.kernel + layer.bias)
    return observation @ layers[-1].kernel + layers[-1].bias


def loss_of_transition(layers, target, step):
    """Returns the loss of one transition, and the value of what was done in it."""
    value = q_values(layers, step["observation"])[step["action"]]
    best = jnp.argmax(q_values(layers, step["next_observation"]))
    next_value = q_values(target, step["next_observation"])[best]
    aim = step["reward"] + step["discount"] * jax.lax.stop_gradient(next_value)
    return jnp.where(step["is_valid"], optax.huber_loss(value, aim), 0.0), value


@struct.dataclass
class QLearner:
    """The network that learns, the one that it learns towards, and how often to explore."""

    network: Network
    target: Any
    epsilon: Any


@struct.dataclass
class EpsilonGreedy(Policy):
    """Takes the best action, and any with probability epsilon; keeps what it did."""

    layers: Any
    epsilon: Any

    def initial_carry(self):
        return ()

    def act(self, observations, carry, key):
        explore_key, action_key = jax.random.split(key)
        greedy = jnp.argmax(q_values(self.layers, observations["state"]))
        anything = jax.random.randint(action_key, (), 0, 2)
        action = jnp.where(jax.random.uniform(explore_key) < self.epsilon, anything, greedy)
        return Decision(action, carry, kept={"action": action})

    def conclude(self, observations, carry):
        return {"observation": observations["state"]}


@dataclass(frozen=True)
class QLearning(Algorithm):
    """Double Q-learning from a replay memory; each environment draws from its own transitions."""

    synchronisation: Synchronisation

    @property
    def updates(self):
        return Updates(optax.adam(1e-3), self.synchronisation)

    def init(self, model, key):
        return QLearner(self.updates.init(model), jax.tree.map(jnp.copy, model), jnp.float32(1))

    def policy(self, learner, normalizer, is_deterministic):
        epsilon = jnp.where(is_deterministic, 0.0, learner.epsilon)
        return EpsilonGreedy(learner.network.parameters, epsilon)

    def iteration(self, num_steps):
        return Iteration(num_steps, NUM_UPDATES, NUM_ACTING_ONLY)

    def initial_memory(self, environment, num_envs):
        def zeros(shape=(), dtype=jnp.float32):
            return jnp.zeros((num_envs, CAPACITY, *shape), dtype)

        (shape,) = environment.observation_shapes().values()
        steps = {
            "observation": zeros(shape),
            "next_observation": zeros(shape),
            "action": zeros(dtype=jnp.int32),
            "reward": zeros(),
            "discount": zeros(),
            "is_valid": zeros(dtype=bool),
        }
        return {"steps": steps, "num_seen": jnp.zeros(num_envs, jnp.int32)}

    def remember(self, memory, trajectory, normalizer):
        seen = trajectory.observations["state"]  # what an episode ended with is at the next step
        steps = {
            "observation": seen,
            "next_observation": jnp.concatenate([seen[1:], trajectory.final["observation"][None]]),
            "action": trajectory.kept["action"],
            "reward": trajectory.reward,
            "discount": GAMMA * ~trajectory.is_terminated,
            "is_valid": trajectory.is_valid,
        }
        num_steps = seen.shape[0]

        def write(kept, new, num_seen):
            return kept.at[(num_seen + jnp.arange(num_steps)) % CAPACITY].set(new)

        steps = jax.tree.map(
            lambda kept, new: jax.vmap(write, (0, 1, 0))(kept, new, memory["num_seen"]),
            memory["steps"],
            steps,
        )
        return {"steps": steps, "num_seen": memory["num_seen"] + num_steps}

    def update(self, learner, memory, trajectory, normalizer, iteration, key):
        def draw(steps, num_seen, key):
            index = jax.random.randint(key, (SAMPLES,), 0, jnp.minimum(num_seen, CAPACITY))
            return jax.tree.map(lambda leaf: leaf[index], steps)

        def one_update(carry, step):
            progress, target = carry
            keys = environment_keys(jax.random.fold_in(key, step.index), trajectory.env_id)
            samples = jax.vmap(draw)(memory["steps"], memory["num_seen"], keys)

            def loss(layers):
                of_one = functools.partial(loss_of_transition, layers, target)
                losses, values = jax.vmap(jax.vmap(of_one))(samples)
                return jnp.mean(losses), {
                    "loss/q": jnp.mean(losses),
                    "value/mean": jnp.mean(values),
                }

            outcome = self.updates.take(progress, loss, step)
            parameters = outcome.progress.network.parameters
            target = optax.incremental_update(parameters, target, TARGET_RATE)
            return (outcome.progress, target), outcome.metrics

        carry = self.updates.begin(learner.network), learner.target
        carry, metrics = jax.lax.scan(one_update, carry, self.updates.steps(NUM_UPDATES))
        progress, target = carry
        epsilon = jnp.maximum(LAST_EPSILON, 1 - (iteration + 1) / NUM_EXPLORING)
        metrics = self.updates.mean(metrics, self.updates.steps(NUM_UPDATES))
        metrics = mean_over_devices(metrics, self.synchronisation.axis_name)
        metrics["policy/epsilon"] = epsilon
        return QLearner(progress.network, target, epsilon), memory, metrics


@dataclass
class QLearningConfig(ksim.DistributedRLConfig):
    """Options of the cart-pole that is learned off policy."""

    num_envs: int = 16
    batch_size: int = 16
    rollout_length_frames: int | None = 16
    max_steps: int | None = 200
    is_observation_normalized: bool = False


class QLearningTask(ksim.DistributedRLTask[QLearningConfig]):
    """The cart-pole by Q-learning."""

    def get_environment(self):
        return ksim.CartPole()

    def get_optimizer(self):
        return optax.adam(1e-3)

    def get_algorithm(self):
        return QLearning(self.get_synchronisation())

    def _get_initial_model(self, rng):
        sizes = (4, 64, 64, 2)
        return tuple(
            Layer(jax.nn.initializers.he_normal()(key, size), jnp.zeros(size[1]))
            for key, *size in zip(jax.random.split(rng, 3), sizes, sizes[1:], strict=False)
        )


if __name__ == "__main__":
    QLearningTask.launch(QLearningConfig())
