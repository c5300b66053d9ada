"""The contract of a learning algorithm."""

from abc import ABC, abstractmethod
from typing import Any

import jax
from flax import struct
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, Key

from ksim.nn import Model, RunningMoments
from ksim.rl.trajectory import Trajectory


@struct.dataclass
class Learner:
    """What an algorithm changes; the same on every device between iterations.

    Attributes:
      model: the actor-critic; its array leaves are the parameters.
      optimizer_state: the optimizer's.
      learning_rate_scale: `[]` factor on the optimizer's step.
    """

    model: Model
    optimizer_state: Any
    learning_rate_scale: Float[Array, ""]


class Algorithm(ABC):
    """Learns from one trajectory at a time, as a part of the per-device program."""

    @abstractmethod
    def init(self, model: Model) -> Learner:
        """Returns the learner at the start of a run."""

    def specs(self, learner: Learner) -> Learner:
        """Returns how a learner lies between updates: a `PartitionSpec` in place of each leaf.

        Replicated by default. `update` is given, and returns, what a device has of it.

        Args:
          learner: the whole learner; arrays or `jax.ShapeDtypeStruct`.
        """
        return jax.tree.map(lambda _: PartitionSpec(), learner)

    def bytes_per_update(self, learner: Learner, num_devices: int) -> float | None:
        """Returns the bytes that a device sends in one update; `None` if it is not known.

        Args:
          learner: the whole learner; arrays or `jax.ShapeDtypeStruct`.
          num_devices: devices of the run.
        """
        return None

    @property
    def num_updates(self) -> int | None:
        """Updates in an iteration; `None` if it is not known."""
        return None

    @property
    def num_synchronisations(self) -> int | None:
        """How many of the updates of an iteration communicate; `None` if it is not known."""
        return self.num_updates

    @abstractmethod
    def update(
        self,
        learner: Learner,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
        iteration: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[Learner, dict[str, Float[Array, ""]]]:
        """Learns from this device's part of a trajectory, together with the other devices.

        Args:
          learner: as the last iteration left it, identical on every device but for the leaves that
            `specs` splits.
          trajectory: `[T, num_envs, ...]` of this device.
          normalizer: of the observations, as it was while the policy acted.
          iteration: iterations finished so far.
          key: the key of this iteration, the same on every device.

        Returns:
          The learner, identical again on devices that hold the same of it, and metrics over all
          devices.
        """
