"""A world and a model so small that all their numbers can be computed by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from flax import struct

from ksim.envs import ContinuousActions, Environment, Timestep
from ksim.nn import ModelOutput, Normal


@struct.dataclass
class CountingState:
    count: jax.Array
    last: jax.Array
    fails: jax.Array


@dataclasses.dataclass(frozen=True)
class Counting(Environment):
    """Counts its steps: reward and observation are 1, 2, 3, ... until the episode ends.

    Without a length, both the length (from 1 to 4) and the kind of end are drawn at reset.
    """

    length: int | None = None
    is_failure: bool = True
    has_noise: bool = False
    action_space = ContinuousActions(1)

    def reset(self, key):
        length_key, failure_key = jax.random.split(key)
        last = jax.random.randint(length_key, (), 1, 5)
        fails = jax.random.bernoulli(failure_key)
        if self.length is not None:
            last, fails = jnp.int32(self.length), jnp.bool_(self.is_failure)
        return CountingState(jnp.int32(0), last, fails), {"x": jnp.float32(0)}

    def step(self, state, action, key):
        count = state.count + 1
        is_over = count >= state.last
        x = count.astype(jnp.float32)
        reward = x + (jax.random.normal(key) + action[0] if self.has_noise else 0.0)
        return state.replace(count=count), Timestep(
            observations={"x": x},
            reward=reward,
            is_terminated=is_over & state.fails,
            is_truncated=is_over,
            metrics={"count": x},
            terminations={"failed": is_over & state.fails, "time_out": is_over & ~state.fails},
        )


@struct.dataclass
class CountingModel:
    """Acts and judges by what it sees, `x`, and by how often it was called in the episode.

    Attributes:
      gain: `[]` mean action = gain * x + 0.1 * calls.
      log_std: `[]` of the action.
      value: `[2]` value = value[0] * x + value[1] * calls.
    """

    gain: jax.Array
    log_std: jax.Array
    value: jax.Array

    def initial_carry(self):
        return {"calls": jnp.float32(0)}

    def __call__(self, observations, carry):
        x, calls = observations["x"], carry["calls"]
        mean = self.gain * x + 0.1 * calls
        return ModelOutput(
            distribution=Normal(mean[None], self.log_std[None]),
            value=self.value[0] * x + self.value[1] * calls,
            carry={"calls": calls + 1},
        )


@pytest.fixture(scope="session")
def make_environment():
    return Counting


@pytest.fixture(scope="session")
def make_model():
    def make(gain=0.5, log_std=-1.0, value=(0.0, 1.0)):
        return CountingModel(jnp.float32(gain), jnp.float32(log_std), jnp.array(value))

    return make
