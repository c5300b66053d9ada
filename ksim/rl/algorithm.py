"""The contract of a learning algorithm."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.envs import Environment
from ksim.nn import RunningMoments
from ksim.parallel import Traffic
from ksim.rl.policy import Policy
from ksim.rl.trajectory import Trajectory

Learner = Any
"""All that an algorithm learns: a pytree of networks, optimizer states and numbers."""

Memory = Any
"""Memory of an algorithm: a pytree `[num_envs, ...]`, as a replay buffer; `()` if none."""

Metrics = dict[str, Float[Array, ""]]


@dataclasses.dataclass(frozen=True)
class Iteration:
    """One iteration of an algorithm.

    Attributes:
      num_steps: control steps that each environment makes in it.
      num_updates: updates in it, of one minibatch each.
      num_acting_only: iterations at the beginning of a run that act and remember, and do not learn.
    """

    num_steps: int
    num_updates: int
    num_acting_only: int = 0


class Algorithm(ABC):
    """Learns from one rollout at a time, as a part of the per-device program.

    Everything that shapes its future is in the learner and in the memory: both are saved. The
    learner is the same on every device between iterations, but for the leaves that `specs` splits;
    the memory is split as environments are, by their global ids, so that it moves between numbers
    of devices as they do.
    """

    @abstractmethod
    def init(self, model: Any, key: Key[Array, ""]) -> Learner:
        """Returns the learner at the start of a run.

        Args:
          model: what the task's `_get_initial_model` gives: the networks, any pytree.
          key: for whatever else begins at random.
        """

    @abstractmethod
    def policy(
        self,
        learner: Learner,
        normalizer: RunningMoments | None,
        is_deterministic: Bool[Array | np.ndarray, ""],
    ) -> Policy:
        """Returns the policy that acts in a rollout.

        Args:
          learner: with whole leaves at least where `acting_part` has them.
          normalizer: of the observations; `None` leaves them as they are.
          is_deterministic: `[]` whether to act without exploring, as evaluations do; traced.
        """

    @abstractmethod
    def iteration(self, num_steps: int) -> Iteration:
        """Returns the steps and updates of one iteration.

        Args:
          num_steps: control steps of a rollout that the task's options ask for.
        """

    @abstractmethod
    def update(
        self,
        learner: Learner,
        memory: Memory,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
        iteration: Int[Array, ""],
        key: Key[Array, ""],
    ) -> tuple[Learner, Memory, Metrics]:
        """Learns from this device's part of a trajectory, together with the other devices.

        Args:
          learner: as the last iteration left it, identical on every device but for the leaves that
            `specs` splits.
          memory: of this device's environments; `remember` has added the trajectory to it.
          trajectory: `[T, num_envs, ...]` of this device.
          normalizer: of the observations, as it was while the policy acted.
          iteration: iterations finished so far.
          key: the key of this iteration, the same on every device.

        Returns:
          The learner, identical again on devices that hold the same of it; the memory; and metrics
          over all devices.
        """

    def initial_memory(self, environment: Environment, num_envs: int) -> Memory:
        """Returns the memory at the start of a run, `[num_envs, ...]`; `()` by default.

        Args:
          environment: one copy of it, for shapes.
          num_envs: environments over all devices.
        """
        del environment, num_envs
        return ()

    def remember(
        self, memory: Memory, trajectory: Trajectory, normalizer: RunningMoments | None
    ) -> Memory:
        """Returns the memory with a trajectory added; as it was by default.

        Called in every iteration before `update`, and alone while a run only acts.
        """
        del trajectory, normalizer
        return memory

    def acting_part(self, learner: Learner) -> Any:
        """Returns the part of a learner that must be whole to act; all of it by default.

        Where large leaves are split over devices (`specs`), this part is gathered before a rollout.
        """
        return learner

    def with_acting_part(self, learner: Learner, part: Any) -> Learner:
        """Returns the learner with that part replaced."""
        del learner
        return part

    def specs(self, learner: Learner) -> Learner:
        """Returns a `PartitionSpec` for each leaf, as a learner lies between updates.

        Replicated by default. `update` is given, and returns, one device's part.

        Args:
          learner: the whole learner; arrays or `jax.ShapeDtypeStruct`.
        """
        return jax.tree.map(lambda _: PartitionSpec(), learner)

    def traffic(self, learner: Learner) -> Traffic | None:
        """Returns the communication between devices in an iteration; `None` if unknown.

        Args:
          learner: the whole learner; arrays or `jax.ShapeDtypeStruct`.
        """
        return None

    def num_samples(self, num_steps: int) -> int | None:
        """Returns the number of samples in an iteration's updates; `None` if unknown.

        Args:
          num_steps: environment steps in the trajectory.
        """
        return None


def check_memory(algorithm: Algorithm, memory: Memory, num_envs: int) -> None:
    """Checks that a memory can be split over devices as environments are.

    Args:
      algorithm: whose memory it is.
      memory: `initial_memory` of all environments; arrays or `jax.ShapeDtypeStruct`.
      num_envs: environments over all devices.

    Raises:
      ValueError: if an array does not begin with the axis of environments.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(memory):
        if leaf.shape[:1] != (num_envs,):
            raise ValueError(
                f"{type(algorithm).__name__}.initial_memory: a memory is split over devices as"
                f" environments are, so its arrays are [num_envs, ...], and"
                f" {jax.tree_util.keystr(path) or 'it'} is {list(leaf.shape)} with"
                f" num_envs={num_envs}. Write jnp.zeros((num_envs, capacity, ...)); what belongs to"
                " no environment is kept in the learner."
            )
