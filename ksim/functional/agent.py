"""The agent of `train_ppo`: the state that it has learned, and acting by it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, PyTree

from ksim.envs import DiscreteActions, Environment
from ksim.functional.config import PPOConfig, RunnerConfig
from ksim.functional.environment_task import EnvironmentTask
from ksim.functional.interface import BlankEnvironment, check_kind, joined_environment
from ksim.functional.joined_observations import JOINED, join_observations
from ksim.nn import RunningMoments
from ksim.rl import ActorCriticPolicy, PPOLearner


@struct.dataclass
class PPOAgentState:
    """Learned state of an agent, in one copy.

    Attributes:
      learner: parameters, optimizer state, and the factor on the learning rate.
      normalizer: moments of the observations; `None` if they are not normalized.
    """

    learner: PPOLearner
    normalizer: RunningMoments | None

    @property
    def params(self) -> PyTree[Array]:
        """The parameters of the actor and the critic."""
        return self.learner.model.params  # type: ignore[attr-defined]

    @property
    def opt_state(self) -> PyTree[Array]:
        """The state of the optimizer."""
        return self.learner.optimizer_state

    def policy(self, is_deterministic: bool = True) -> ActorCriticPolicy:
        """Returns a policy that acts by this state, on `{"observation": [*obs_shape]}`."""
        return ActorCriticPolicy(self.learner.model, self.normalizer, np.array(is_deterministic))


class PPO:
    """Creates the agents that `train_ppo` trains, and acts by them."""

    @staticmethod
    def init(
        rng: Array,
        obs_shape: tuple[int, ...] | None = None,
        n_actions: int | None = None,
        config: PPOConfig | None = None,
        *,
        env: Environment | None = None,
    ) -> PPOAgentState:
        """Returns an untrained agent, which can also be the template to load a checkpoint.

        Args:
          rng: a key, of either kind that JAX has.
          obs_shape: shape of the observation; that of `env` if not given.
          n_actions: number of choices; the actions of `env` if not given.
          config: the options of learning, as for `train_ppo`.
          env: an environment, in place of `obs_shape` and `n_actions`; needed where actions are
            vectors.

        Raises:
          TypeError: if an argument is of another kind.
          ValueError: if neither `env` nor both shapes are given, or they contradict each other.
        """
        key = _typed(rng)
        if env is None:
            if obs_shape is None or n_actions is None:
                raise ValueError(
                    "PPO.init needs the shapes: write PPO.init(key, obs_shape=(4,), n_actions=2,"
                    " config=...), or PPO.init(key, env=env, config=...)."
                )
            if not isinstance(obs_shape, tuple | list):
                raise TypeError(
                    f"obs_shape must be the shape of an array, found {obs_shape!r:.80}."
                    " Write obs_shape=(4,), for instance."
                )
            env = BlankEnvironment(obs_shape, DiscreteActions(n_actions))
        environment = joined_environment(env, obs_shape, n_actions)
        config = PPOConfig() if config is None else config
        check_kind("config", config, PPOConfig, "a ksim.vibe_rl.algorithms.ppo.PPOConfig")
        if config.matmul_precision == "auto":  # not worth a measurement: nothing is trained
            config = dataclasses.replace(config, matmul_precision="float32")
        runner_config = RunnerConfig(
            total_timesteps=config.n_steps * config.n_minibatches,
            num_envs=config.n_minibatches,
            num_devices=1,
        )
        program = EnvironmentTask(environment, config, runner_config).build()

        def create(key: Array) -> PPOAgentState:
            shapes = environment.observation_shapes()
            return PPOAgentState(
                learner=program.algorithm.init(
                    program.initial_model(key), jax.random.fold_in(key, 0xFFFFFFFF)
                ),
                normalizer=RunningMoments.create(shapes) if program.has_normalizer else None,
            )

        return jax.jit(create)(key)

    @staticmethod
    def act(
        agent_state: PPOAgentState,
        observations: Array | Mapping[str, Array],
        rng: Array | None = None,
    ) -> Array:
        """Returns the action for one environment; `jax.vmap` it for more.

        Args:
          agent_state: the learned state.
          observations: all observations of the environment, by name, or `[*obs_shape]`.
          rng: a key to draw the action with; without one the most likely action is taken.

        Raises:
          ValueError: if the network has a memory, which a single call cannot keep.
        """
        policy = agent_state.policy(is_deterministic=rng is None)
        carry = policy.model.initial_carry()
        if jax.tree.leaves(carry):
            raise ValueError(
                "PPO.act forgets from call to call, and this network has a memory. Write decision ="
                ' agent_state.policy().act({"observation": x}, carry, key), with the carry of the'
                " last decision, at first agent_state.learner.model.initial_carry()."
            )
        if isinstance(observations, Mapping):
            observations = join_observations(observations)
        key = jax.random.key(0) if rng is None else _typed(rng)
        return policy.act({JOINED: jnp.asarray(observations)}, carry, key).action


def _typed(rng: Any) -> Array:
    """Returns a typed key, also for the words that `jax.random.PRNGKey` returns.

    Raises:
      TypeError: if `rng` is neither.
    """
    if not hasattr(rng, "dtype"):
        raise TypeError(f"rng must be a key, found {rng!r:.80}. Write jax.random.key(0).")
    if jax.dtypes.issubdtype(rng.dtype, jax.dtypes.prng_key):
        return rng
    return jax.random.wrap_key_data(rng)
