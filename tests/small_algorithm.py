"""A small algorithm that keeps all rules, and ways to break one."""

import jax
import jax.numpy as jnp
import pytest
from flax import struct

import ksim
from ksim import Algorithm, Decision, Iteration, Policy
from ksim.testing import check_algorithm


@struct.dataclass
class Leaning(Policy):
    """Pushes to the side to which weights of the observations lean."""

    weights: jax.Array
    is_deterministic: jax.Array

    def initial_carry(self):
        return {"num_steps": jnp.float32(0)}

    def act(self, observations, carry, key):
        noise = jnp.where(self.is_deterministic, 0.0, jax.random.normal(key))
        lean = observations["state"] @ self.weights + noise
        carry = {"num_steps": carry["num_steps"] + 1}
        return Decision((lean > 0).astype(jnp.int32), carry, {"lean": lean})

    def review(self, observations, carry, is_valid):
        return {"value": observations["state"] @ self.weights}

    def conclude(self, observations, carry):
        return {"lean": observations["state"] @ self.weights}


class Wandering(Algorithm):
    """Keeps all rules: weights follow the mean of what is seen; the tests below break one each."""

    def init(self, model, key):
        return {"weights": model["weights"] + jax.random.normal(key, (4,)), "count": jnp.int32(0)}

    def policy(self, learner, normalizer, is_deterministic):
        return Leaning(learner["weights"], is_deterministic)

    def iteration(self, num_steps):
        return Iteration(num_steps, 1, num_acting_only=2)

    def initial_memory(self, environment, num_envs):
        return {"reward": jnp.zeros(num_envs), "last": jnp.zeros((num_envs, 4))}

    def remember(self, memory, trajectory, normalizer):
        reward = memory["reward"] + jnp.sum(trajectory.reward, axis=0)
        return {"reward": reward, "last": trajectory.observations["state"][-1]}

    def update(self, learner, memory, trajectory, normalizer, iteration, key):
        seen, reward = jax.lax.pmean(
            (jnp.mean(memory["last"], axis=0), jnp.mean(memory["reward"])), "device"
        )
        weights = learner["weights"] + 0.1 * seen + 0.01 * jax.random.normal(key, (4,))
        learner = {"weights": weights, "count": learner["count"] + 1}
        return learner, memory, {"loss/mine": reward}

    def acting_part(self, learner):
        return learner["weights"]

    def with_acting_part(self, learner, part):
        return learner | {"weights": part}


MODEL = {"weights": jnp.asarray([0.1, 0.2, 0.3, 0.4])}


def broken(**members):
    return type("Broken", (Wandering,), members)()


def expect(rule, details, error=AssertionError, num_envs=4, **members):
    with pytest.raises(error) as caught:
        check_algorithm(broken(**members), ksim.CartPole(), MODEL, num_envs=num_envs, num_steps=6)
    message = str(caught.value)
    for text in (f'Broken breaks the rule "{rule}": ', details, "Instead, "):
        assert text in message


def changed_policy(**members):
    """An algorithm's `policy` with these methods."""
    kind = struct.dataclass(type("BrokenPolicy", (Leaning,), members))

    def policy(self, learner, normalizer, is_deterministic):
        return kind(learner["weights"], is_deterministic)

    return policy


def after_update(change):
    """An `update` whose results go through `change(learner, memory, metrics, trajectory)`."""

    def update(self, learner, memory, trajectory, *others):
        results = Wandering.update(self, learner, memory, trajectory, *others)
        return change(*results, trajectory)

    return update


def after_remember(change):
    """A `remember` whose memory goes through `change(memory)`."""

    def remember(self, *arguments):
        return change(Wandering.remember(self, *arguments))

    return remember
