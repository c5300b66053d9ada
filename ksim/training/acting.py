"""The contract between what acts in a run and what learns: where each is, and when."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ksim.parallel import Partitioner
from ksim.rl import RolloutStatistics, Trajectory

if TYPE_CHECKING:
    from ksim.training.program import Program
    from ksim.training.run_state import RunState


class Acting(ABC):
    """Says where a run acts, and takes states and rollouts from one layout to the other.

    Arguments `learner` are the partitioner of what learns.
    """

    has_own_state: ClassVar[bool]
    """True if the train state that acts is another one than that which learns."""

    @abstractmethod
    def partitioner(self, learner: Partitioner) -> Partitioner:
        """Returns what acts."""

    @abstractmethod
    def to_actor(self, learner: Partitioner, train_state: Any) -> Any:
        """Returns the state that acts, in its layout, from the one that learns."""

    @abstractmethod
    def to_learner(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """Returns what was acted, in the layout of what learns."""

    @abstractmethod
    def shapes_to_learn_from(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """Does what `to_learner` does for shapes and dtypes, to compile the update with."""

    @abstractmethod
    def placed_shapes(self, train_state_shapes: Any) -> Any:
        """Returns shapes of the own state that acts, as it is placed; `None` if there is none."""

    @abstractmethod
    def place(self, train_state: Any) -> Any:
        """Places a whole train state as the own state that acts; `None` if there is none."""

    @abstractmethod
    def gather(self, acting_state: Any) -> Any:
        """Undoes `place`."""

    @abstractmethod
    def new_actor(self, program: Program, rollout: Any) -> Actor:
        """Returns what calls the compiled rollout of a run."""


class Actor(ABC):
    """Runs the compiled rollout, once for each iteration."""

    @abstractmethod
    def act(self, state: RunState, is_last: bool) -> Acted:
        """Returns the rollout that the next update learns from.

        Args:
          state: where the run is; its environments are consumed unless acting has a state of its
            own, and that is the one of the following rollout afterwards.
          is_last: whether there is no following one.
        """

    @abstractmethod
    def rollout_seconds(self, acted: Acted, waited: float) -> float:
        """Returns how long a rollout took, given how long `act` did, s."""


@dataclasses.dataclass(frozen=True)
class Acted:
    """Result of a rollout.

    Attributes:
      env_state: where the environments are now, in the layout of what acts.
      trajectory: what was seen and done, in the layout of what learns.
      statistics: its sums, likewise.
      totals: the same sums on the host, `[num_devices]` of what acts.
      seconds: how long it took, s.
      device_seconds: how long each device took, by its place in the run; empty for one.
    """

    env_state: Any
    trajectory: Any
    statistics: Any
    totals: RolloutStatistics
    seconds: float
    device_seconds: dict[int, float]
