"""The contract of an environment, which a user implements for a world of their own."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Float, Key

from ksim.physics import PhysicsModel
from ksim.terms.term import TrainingProgress

State = Any
"""The state of one environment: any pytree of arrays."""


@dataclasses.dataclass(frozen=True)
class ContinuousActions:
    """Actions are vectors of `size` real numbers."""

    size: int


@dataclasses.dataclass(frozen=True)
class DiscreteActions:
    """Actions are integers `0 .. count - 1`."""

    count: int


ActionSpace = ContinuousActions | DiscreteActions


@struct.dataclass
class Timestep:
    """Results of a step of an environment, beside its state.

    Attributes:
      observations: observations after the step, by name. At the end of an episode these are the
        true final observations.
      reward: `[]` reward of the step.
      is_terminated: `[]` true if the episode ended by a failure (or by reaching its goal): the
        future holds no more reward.
      is_truncated: `[]` true if it ended by a time-out: the value of the final observation counts.
        A step that is both counts as terminated.
      metrics: `[]` numbers to log by name; the log shows their mean over steps.
      terminations: `[]` flags by name: the reasons for which the episode ended. The log shows the
        share of episodes.
      contributions: pytree of numbers; their sums over all steps, resets included, of all
        environments are given to `Environment.after_rollout`.
    """

    observations: dict[str, Array]
    reward: Float[Array, ""]
    is_terminated: Bool[Array, ""]
    is_truncated: Bool[Array, ""]
    metrics: dict[str, Array] = struct.field(default_factory=dict)
    terminations: dict[str, Array] = struct.field(default_factory=dict)
    contributions: Any = ()


@struct.dataclass
class RunContext:
    """State of the run that an environment is given in every step.

    Attributes:
      level: `[]` curriculum level in [0, 1].
      memory: the memory of the run, as `Environment.after_rollout` left it.
    """

    level: Float[Array, ""]
    memory: Any = ()


def hardest(memory: Any = ()) -> RunContext:
    """Returns the context of a step at the highest level of a curriculum, 1."""
    return RunContext(level=jnp.float32(1), memory=memory)


class Environment(ABC):
    """A world to act in, one copy of it: the training program vmaps it.

    Subclasses implement `action_space`, `reset` and `step` as pure functions of JAX arrays with
    shapes and dtypes that do not change; nothing else is needed, and no auto-reset: the training
    program starts a new episode after one has ended. `ksim.testing.check_environment` checks that
    an implementation keeps this contract.
    """

    ctrl_dt: float = 1.0
    """Seconds of simulated time in one step; turns episode lengths into seconds."""

    @property
    @abstractmethod
    def action_space(self) -> ActionSpace:
        """Kind and size of actions."""

    @property
    def unwrapped(self) -> "Environment":
        """The environment inside all wrappers; itself unless it is one."""
        return self

    @property
    def physics_model(self) -> PhysicsModel | None:
        """The MuJoCo model of the world; `None` if it has none. A curriculum is made from it."""
        return None

    @property
    def physics_description(self) -> str | None:
        """Name of the physics engine, for the log of a run; `None` logs nothing."""
        return None

    @property
    def compiler_options(self) -> Mapping[str, Any]:
        """Options for XLA when a rollout is compiled for a CPU, beside its defaults."""
        return {}

    @abstractmethod
    def reset(self, key: Key[Array, ""]) -> tuple[State, dict[str, Array]]:
        """Starts an episode, at the highest level of a curriculum, 1, if levels matter.

        Returns:
          The state, and the first observations by name.
        """

    @abstractmethod
    def step(self, state: State, action: Array, key: Key[Array, ""]) -> tuple[State, Timestep]:
        """Advances by one step, at the highest level of a curriculum, 1, if levels matter.

        Args:
          state: the state of this environment.
          action: `[size]` float or `[]` int32, as `action_space` says.
          key: a key for randomness in the step; a new one every time.
        """

    def initial_state(self) -> State:
        """Returns a state with the right shapes, to be reset before use; costs no compilation."""
        state, _ = jax.eval_shape(self.reset, jax.random.key(0))
        return jax.tree.map(zeros_of, state)

    @property
    def has_memory(self) -> bool:
        """True if a memory outlives episodes, so that an episode depends on the last one."""
        return False

    def first_state(self, key: Key[Array, ""]) -> State:
        """Returns the state of a new environment, which the first step resets.

        It holds the first memory that outlives episodes; without memory, it is `initial_state`.

        Args:
          key: the key of the environment, used for this alone.
        """
        del key
        return self.initial_state()

    def initial_run_memory(self, key: Key[Array, ""]) -> Any:
        """Returns the memory of a new run, a small pytree for all environments; `()` by default."""
        del key
        return ()

    def after_rollout(self, run_memory: Any, contributions: Any, progress: TrainingProgress) -> Any:
        """Returns the memory of the run after a rollout; unchanged by default.

        Args:
          run_memory: the memory after the last rollout.
          contributions: the sums of `Timestep.contributions` over the rollout, of all environments
            of all devices.
          progress: other statistics of the rollout over all devices.
        """
        del contributions, progress
        return run_memory

    def step_or_reset(
        self,
        state: State,
        action: Array,
        key: Key[Array, ""],
        is_reset: Bool[Array, ""],
        context: RunContext,
    ) -> tuple[State, Timestep]:
        """Advances by one step, or starts a new episode instead.

        The default computes both and selects. An environment whose step is expensive to compile
        overrides it to share the work.

        Args:
          state: the state of this environment; unread where `is_reset`.
          action: the action; unread where `is_reset`.
          key: the key of this step.
          is_reset: `[]` whether to start an episode; the reward is then 0 and no flag is set.
          context: the level and the memory of the run; the default ignores both.
        """
        del context
        reset_key, step_key = jax.random.split(key)
        fresh_state, fresh_observations = self.reset(reset_key)
        next_state, timestep = self.step(state, action, step_key)

        def select(fresh: Array, stepped: Array) -> Array:
            return jnp.where(is_reset, fresh, stepped)

        no_timestep = jax.tree.map(jnp.zeros_like, timestep)
        fresh_timestep = dataclasses.replace(no_timestep, observations=fresh_observations)
        return jax.tree.map(select, (fresh_state, fresh_timestep), (next_state, timestep))

    def randomized_physics(self, state: State) -> Any:
        """Returns what of a state was drawn for the physics of its episode; `()` if nothing was."""
        del state
        return ()

    def picture(self, state: State) -> np.ndarray | None:
        """Returns a picture of a state on the host, `[rows, columns, 3]` uint8, for films.

        `None`, by default, if it has none; MuJoCo draws the worlds that are made of its models.
        """
        del state
        return None

    def observation_shapes(self) -> dict[str, tuple[int, ...]]:
        """Returns the shape of each observation by name."""
        _, observations = jax.eval_shape(self.reset, jax.random.key(0))
        return {name: array.shape for name, array in observations.items()}


def num_features(shape: tuple[int, ...]) -> int:
    """Returns the number of elements of an array of this shape."""
    return math.prod(shape)


def zeros_of(like: jax.ShapeDtypeStruct) -> Array:
    """Returns an array of this shape and dtype: zeros, or keys."""
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), like.shape) if like.shape else jax.random.key(0)
    return jnp.zeros(like.shape, like.dtype)
