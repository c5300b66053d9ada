"""An environment that starts its next episode by itself, for loops that users write."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Bool, Key

from ksim.envs.environment import Environment, RunContext, Timestep, hardest
from ksim.envs.wrapper import Wrapper


@struct.dataclass
class AutoResetState:
    """State of an environment that starts episodes by itself.

    Attributes:
      environment: the state of the environment within.
      is_over: `[]` true if its episode has ended, so that the next step starts another.
    """

    environment: Any
    is_over: Bool[Array, ""]


class AutoResetWrapper(Wrapper):
    """Starts the next episode in the step after one has ended.

    For a `jax.lax.scan` over `step` that a user writes. ksim's own training starts episodes by
    itself and in the same way: there a wrapped environment gives the same results.

    The step that ends an episode returns its true final observations. The one after it ignores the
    action, and returns the first observations of the next episode, reward 0 and no flag.

    Wrapping twice is the same as wrapping once. Members that are not part of the contract are in
    `unwrapped`.
    """

    def __init__(self, environment: Environment) -> None:
        """Wraps one copy of an environment.

        Raises:
          TypeError: if it is not an `Environment`.
        """
        if not isinstance(environment, Environment):
            raise TypeError(
                f"AutoResetWrapper needs a ksim.Environment, found {environment!r:.80}. Derive from"
                " ksim.Environment and write action_space, reset and step."
            )
        if isinstance(environment, AutoResetWrapper):
            environment = environment.within
        super().__init__(environment)

    def reset(self, key: Key[Array, ""]) -> tuple[AutoResetState, dict[str, Array]]:
        """See `Environment.reset`."""
        state, observations = self.within.reset(key)
        return AutoResetState(state, jnp.bool_(False)), observations

    def step(
        self, state: AutoResetState, action: Array, key: Key[Array, ""]
    ) -> tuple[AutoResetState, Timestep]:
        """Advances by one step, or starts an episode if the last step ended one.

        At the curriculum's highest level, 1; another is given to `step_or_reset`.
        """
        return self.step_or_reset(state, action, key, jnp.bool_(False), hardest())

    def initial_state(self) -> AutoResetState:
        """See `Environment.initial_state`."""
        return AutoResetState(self.within.initial_state(), jnp.bool_(False))

    def first_state(self, key: Key[Array, ""]) -> AutoResetState:
        """See `Environment.first_state`."""
        return AutoResetState(self.within.first_state(key), jnp.bool_(False))

    def step_or_reset(
        self,
        state: AutoResetState,
        action: Array,
        key: Key[Array, ""],
        is_reset: Bool[Array, ""],
        context: RunContext,
    ) -> tuple[AutoResetState, Timestep]:
        """See `Environment.step_or_reset`."""
        next_state, timestep = self.within.step_or_reset(
            state.environment, action, key, is_reset | state.is_over, context
        )
        is_over = timestep.is_terminated | timestep.is_truncated
        return AutoResetState(next_state, is_over), timestep

    def randomized_physics(self, state: AutoResetState) -> Any:
        """See `Environment.randomized_physics`."""
        return self.within.randomized_physics(state.environment)

    def picture(self, state: AutoResetState) -> np.ndarray | None:
        """See `Environment.picture`."""
        return self.within.picture(state.environment)
