"""The contract of a learning algorithm."""

from abc import ABC, abstractmethod
from typing import Any

import jax
from flax import struct
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, Key

from ksim.nn import Model, RunningMoments
from ksim.parallel import Traffic
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

    def traffic(self, learner: Learner) -> Traffic | None:
        """Returns what devices send to each other in an iteration; `None` if it is not known.

        Args:
          learner: the whole learner; arrays or `jax.ShapeDtypeStruct`.
        """
        return None

    def num_samples(self, num_steps: int) -> int | None:
        """Returns how many samples the updates of an iteration go over; `None` if not known.

        Args:
          num_steps: environment steps in the trajectory.
        """
        return None

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
