"""The contract of extensions, which add to an algorithm without changing it."""

from abc import ABC
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ksim.nn import Model, RunningMoments
from ksim.rl.batch import Batch
from ksim.rl.trajectory import Trajectory

Metrics = dict[str, Float[Array, ""]]


class Extension(ABC):  # noqa: B024 - each method has a default that adds nothing
    """Adds to the minibatches, the loss or the rewards of PPO.

    A frozen dataclass. What it learns is its `state` (networks, optimizer states, numbers: the same
    on every device), which is in every checkpoint. What it remembers is its `memory`
    (`[num_envs, ...]`, split as environments are), which is too.

    In each iteration, in this order: `reward`, then for each update `extend` and `loss`, then
    `update`. Several extensions compose in the order of their list.
    """

    @property
    def name(self) -> str:
        """Name of its state and its metrics; by default that of the class."""
        return type(self).__name__

    def init(self, key: Key[Array, ""]) -> Any:
        """Returns the state at the start of a run; `()` by default."""
        del key
        return ()

    def initial_memory(self, num_envs: int) -> Any:
        """Returns the memory at the start of a run, `[num_envs, ...]`; `()` by default."""
        del num_envs
        return ()

    def reward(
        self, state: Any, memory: Any, trajectory: Trajectory, normalizer: RunningMoments | None
    ) -> Float[Array, "T num_envs"]:
        """Returns additional rewards of this device's steps; zeros by default."""
        del state, memory, normalizer
        return jnp.zeros_like(trajectory.reward)

    def extend(self, minibatch: Batch) -> Batch:
        """Returns the minibatch for the loss; unchanged by default.

        It may have more environments, with ids of their own, or other values.
        """
        return minibatch

    def loss(
        self, state: Any, model: Model, minibatch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns an additional loss of the model on this device, and metrics; 0 by default.

        Args:
          state: of the extension; no gradient flows into it.
          model: the whole actor-critic.
          minibatch: as all extensions have left it.
          key: the key of the update, the same on every device.
        """
        del state, model, minibatch, key
        return jnp.float32(0), {}

    def update(
        self,
        state: Any,
        memory: Any,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
        iteration: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[Any, Any, Metrics]:
        """Learns from the trajectory, after the model has; nothing by default.

        Devices must agree on the state, as by `ksim.rl.updates.Updates`.

        Returns:
          The state, the memory, and metrics of this device, which are averaged.
        """
        del trajectory, normalizer, iteration, key
        return state, memory, {}
