"""The contract between actor and learner of a run: the place and the time of acting."""

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
    """Chooses the devices that act, and converts states and rollouts between both layouts.

    Arguments `learner` are the partitioner of what learns.
    """

    has_own_state: ClassVar[bool]
    """True if the state that acts is separate from the one that learns."""

    @abstractmethod
    def partitioner(self, learner: Partitioner) -> Partitioner:
        """Returns the partitioner that acts."""

    @abstractmethod
    def to_actor(self, learner: Partitioner, train_state: Any) -> Any:
        """Returns the state that acts, in its layout, from the one that learns."""

    @abstractmethod
    def to_learner(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """Returns a rollout in the learner's layout."""

    @abstractmethod
    def shapes_to_learn_from(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """Does what `to_learner` does for shapes and dtypes, to compile the update with."""

    @abstractmethod
    def placed_shapes(self, train_state_shapes: Any) -> Any:
        """Returns shapes of the separate acting state after placement; `None` without one."""

    @abstractmethod
    def place(self, train_state: Any) -> Any:
        """Places a whole train state as the separate acting state; `None` without one."""

    @abstractmethod
    def gather(self, acting_state: Any) -> Any:
        """Undoes `place`."""

    @abstractmethod
    def new_actor(self, program: Program, rollout: Any) -> Actor:
        """Returns an actor that calls the compiled rollout of a run."""


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
        """Returns the time of a rollout, given that of `act`, s."""


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
