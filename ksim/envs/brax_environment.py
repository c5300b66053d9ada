"""Environments of brax and MuJoCo Playground, which share one interface."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Int, Key

from ksim.envs.environment import ContinuousActions, Environment, Timestep, zeros_of
from ksim.xla.compiler_options import SMALL_OPERATIONS

NEEDED_OF_ENVIRONMENT = ("reset", "step", "action_size", "dt")
NEEDED_OF_STATE = ("obs", "reward", "done", "metrics", "info")


@struct.dataclass
class BraxState:
    """State of an environment of brax's interface.

    Attributes:
      environment: its own state.
      num_steps: `[]` int32 steps since the episode began.
    """

    environment: Any
    num_steps: Int[Array, ""]


class BraxEnvironment(Environment):
    """Adapts an environment of brax or MuJoCo Playground to ksim's contract.

    Both are `reset(rng) -> state` and `step(state, action) -> state`, where a state has `obs`,
    `reward`, `done`, `metrics` and `info`; neither package is needed here. Give the environment
    itself, as `brax.envs.get_environment(name)` and `mujoco_playground.registry.load(name)` return
    it: ksim does the work of their wrappers (many copies, time-outs, new episodes).

    An array of observations is named `state`; a dictionary keeps its names. Actions are clipped to
    -1 .. 1, the range of such environments. `done` ends an episode as a failure, and
    `episode_length` steps as a time-out. Where an observation or the reward is not finite, the
    episode fails with reward 0, counted as `termination/diverged`; other environments are not
    affected.

    Every episode is drawn anew, while by default the wrappers of both repeat the first one: each
    step costs a `reset` too.
    """

    def __init__(self, environment: Any, episode_length: int = 1000) -> None:
        """Takes one copy of an environment.

        Args:
          environment: the environment, without wrappers.
          episode_length: control steps until a time-out.

        Raises:
          TypeError: if it does not have this interface, or is wrapped already.
          ValueError: if `episode_length` is less than 1.
        """
        if episode_length < 1:
            raise ValueError(
                f"episode_length={episode_length} is no number of steps. Write episode_length=1000,"
                " which is what brax and MuJoCo Playground are used with."
            )
        missing = [name for name in NEEDED_OF_ENVIRONMENT if not hasattr(environment, name)]
        if missing or isinstance(environment, type):
            found = f"{environment!r:.80}, without {missing[0]}" if missing else environment
            raise TypeError(
                "BraxEnvironment needs an environment of brax's interface, with reset(rng),"
                f" step(state, action), action_size and dt; found {found}. Give what"
                " brax.envs.get_environment(name) or mujoco_playground.registry.load(name) returns."
            )
        self.brax_environment = environment
        self.episode_length = episode_length
        self.ctrl_dt = float(environment.dt)
        self._check_state()

    @property
    def action_space(self) -> ContinuousActions:
        """One number for each actuator."""
        return ContinuousActions(self.brax_environment.action_size)

    @property
    def compiler_options(self) -> Mapping[str, Any]:
        """See `Environment.compiler_options`; the physics of both is many small operations."""
        return SMALL_OPERATIONS

    def reset(self, key: Key[Array, ""]) -> tuple[BraxState, dict[str, Array]]:
        """See `Environment.reset`."""
        # Such environments are written for keys of the older kind, and may take them apart.
        state = self.brax_environment.reset(jax.random.key_data(key))
        return BraxState(state, jnp.int32(0)), _observations(state)

    def step(
        self, state: BraxState, action: Array, key: Key[Array, ""]
    ) -> tuple[BraxState, Timestep]:
        """See `Environment.step`; such environments keep a key of their own in their state."""
        del key
        stepped = self.brax_environment.step(state.environment, jnp.clip(action, -1.0, 1.0))
        num_steps = state.num_steps + 1
        observations, reward = _observations(stepped), jnp.asarray(stepped.reward, jnp.float32)
        has_diverged = ~_is_finite((observations, reward))

        def unless_diverged(value: Array) -> Array:
            return jnp.where(has_diverged, jnp.zeros_like(value), value)

        # An episode that brax's EpisodeWrapper cuts is done, but has not failed.
        is_cut = jnp.asarray(stepped.info.get("truncation", 0)) > 0.5
        is_done = (jnp.asarray(stepped.done) > 0.5) & ~is_cut
        is_over = is_cut | (num_steps >= self.episode_length)
        return BraxState(stepped, num_steps), Timestep(
            observations=jax.tree.map(unless_diverged, observations),
            reward=unless_diverged(reward),
            is_terminated=is_done | has_diverged,
            is_truncated=is_over,
            metrics={name: unless_diverged(x) for name, x in stepped.metrics.items()},
            terminations={"done": is_done, "diverged": has_diverged, "time_out": is_over},
        )

    def initial_state(self) -> BraxState:
        """See `Environment.initial_state`."""
        return BraxState(jax.tree.map(zeros_of, self._first), jnp.int32(0))

    def observation_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `Environment.observation_shapes`."""
        return {name: array.shape for name, array in _named(self._first.obs).items()}

    @functools.cached_property
    def _first(self) -> Any:
        """Shapes and dtypes of its first state; cached, since tracing a robot takes a while."""
        return jax.eval_shape(self.brax_environment.reset, jax.random.key_data(jax.random.key(0)))

    def _check_state(self) -> None:
        name, state = type(self.brax_environment).__name__, self._first
        missing = [field for field in NEEDED_OF_STATE if not hasattr(state, field)]
        if missing:
            raise TypeError(
                f"A state of {name} is a {type(state).__name__}, without {missing[0]}. Let reset"
                " and step return what brax.envs.State has: obs, reward, done, metrics, info."
            )
        if state.reward.shape:
            raise TypeError(
                f"{name} has wrappers: its reward is an array of shape {state.reward.shape}, and"
                " one copy is needed. Give what brax.envs.get_environment(name) or"
                " mujoco_playground.registry.load(name) returns, as it is."
            )


def _named(observations: Any) -> dict[str, Any]:
    return dict(observations) if isinstance(observations, Mapping) else {"state": observations}


def _observations(state: Any) -> dict[str, Array]:
    return {name: x.astype(jnp.float32) for name, x in _named(state.obs).items()}


def _is_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
