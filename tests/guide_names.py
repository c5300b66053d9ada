"""What the distributed training guide leaves open, small enough to train in seconds."""

import dataclasses
from dataclasses import dataclass

import flax.struct
import jax
import jax.numpy as jnp

import ksim
from ksim.nn.distribution import Categorical, Normal
from tests.small_cartpole import SMALL


@dataclass
class MyConfig(ksim.DistributedPPOConfig):
    num_devices: int | None = 2
    num_envs: int = SMALL["num_envs"]
    batch_size: int = SMALL["batch_size"]
    rollout_length_frames: int | None = SMALL["rollout_length_frames"]
    num_passes: int = SMALL["num_passes"]
    hidden_sizes: tuple[int, ...] = SMALL["hidden_sizes"]
    eval_length_seconds: float = SMALL["eval_length_seconds"]
    max_steps: int | None = 2


@dataclass
class MyDistributedConfig(MyConfig):
    # Add task-specific configuration
    my_param: float = 1.0


@jax.tree_util.register_pytree_node_class
class PoleModel:
    """A model of the cart-pole, without a library: its pytree leaves are the parameters."""

    def __init__(self, rng):
        self.kernel = 0.01 * jax.random.normal(rng, (4, 2))
        self.critic = jnp.zeros(4)

    def initial_carry(self):
        return ()

    def tree_flatten(self):
        return (self.kernel, self.critic), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        model = object.__new__(cls)
        model.kernel, model.critic = leaves
        return model

    def __call__(self, observations, carry):
        x = observations["state"]
        return ksim.ModelOutput(Categorical(x @ self.kernel), x @ self.critic, carry)


class PoleTask(ksim.DistributedPPOTask[MyConfig]):
    """What a block of the guide does not say itself."""

    def get_environment(self):
        return ksim.CartPole()


@flax.struct.dataclass
class GaussianPolicy:
    """Mean and value are linear in the observations."""

    kernel: jax.Array
    critic: jax.Array

    def initial_carry(self):
        return ()

    def __call__(self, observations, carry):
        x = jnp.concatenate([observations["position"], observations["velocity"]])
        mean = x @ self.kernel
        return ksim.ModelOutput(Normal(mean, jnp.zeros_like(mean)), x @ self.critic, carry)


def MyModel(rng):
    return GaussianPolicy(0.01 * jax.random.normal(rng, (2, 1)), jnp.zeros(2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class MyCustomReward(ksim.Reward):
    """r = qpos_0^2"""

    def __call__(self, state, carry):
        return state.physics.qpos[0] ** 2, carry
