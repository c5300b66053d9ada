"""Acts on the host while the devices learn."""

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from ksim.config import ConfigError
from ksim.parallel import Partitioner, Placement, SingleDevice
from ksim.parallel.processes import current_processes
from ksim.rl import RolloutStatistics, Trajectory
from ksim.training.acting import Acted, Acting, Actor
from ksim.training.actor import Rollouts
from ksim.training.program import Program
from ksim.training.run_state import RunState


def overlapped(program: Program) -> Program:
    """Returns the program with the host's CPU as its actor.

    Raises:
      ConfigError: if there are several processes.
    """
    num_processes = current_processes().count
    if num_processes > 1:
        raise ConfigError(
            f"is_overlapped=true acts in one process, and there are {num_processes}."
            " Write is_overlapped=false, or start one process."
        )
    host = SingleDevice(jax.local_devices(backend="cpu")[0])
    return dataclasses.replace(program, acting=Overlapped(host))


class OverlappedActor(Actor):
    """Acts ahead in a thread, with a policy one update older than the one that learns."""

    def __init__(self, program: Program, rollout: Any) -> None:
        self._program = program
        self._rollouts = Rollouts(program, rollout)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="acting")
        self._ahead: Future[Acted] | None = None

    def act(self, state: RunState, is_last: bool) -> Acted:
        """See `Actor.act`; begins the following rollout."""
        if self._ahead is None:
            self._start(state.acting_state, state.env_state, state.iteration)
        assert self._ahead is not None
        acted, self._ahead = self._ahead.result(), None
        program = self._program
        state.acting_state = program.acting.to_actor(program.partitioner, state.train_state)
        if not is_last:
            self._start(state.acting_state, acted.env_state, state.iteration + 1)
        return acted

    def rollout_seconds(self, acted: Acted, waited: float) -> float:
        """See `Actor.rollout_seconds`; most of it while the devices learned."""
        del waited
        return acted.seconds

    def _start(self, acting_state: Any, env_state: Any, iteration: int) -> None:
        self._ahead = self._thread.submit(self._rollouts.run, acting_state, env_state, iteration)


class Overlapped(Acting):
    """Lets the host act while the devices learn."""

    has_own_state = True

    def __init__(self, host: SingleDevice) -> None:
        """Takes the partitioner of the host."""
        self._host = host

    def partitioner(self, learner: Partitioner) -> Partitioner:
        """See `Acting.partitioner`."""
        del learner
        return self._host

    def to_actor(self, learner: Partitioner, train_state: Any) -> Any:
        """See `Acting.to_actor`."""
        return self.place(learner.unreplicate_state(train_state))

    def to_learner(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """See `Acting.to_learner`."""
        return (
            learner.place_parts(trajectory.parts(learner.num_devices)),
            learner.place_parts(statistics.parts(learner.num_devices)),
        )

    def shapes_to_learn_from(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """See `Acting.shapes_to_learn_from`; arrays of zeros."""
        shapes = trajectory, statistics
        return self.to_learner(learner, *jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes))

    def placed_shapes(self, train_state_shapes: Any) -> Any:
        """See `Acting.placed_shapes`."""
        return self._host.placed_shapes(train_state_shapes, Placement.REPLICATED)

    def place(self, train_state: Any) -> Any:
        """See `Acting.place`."""
        return self._host.replicate_state(train_state)

    def gather(self, acting_state: Any) -> Any:
        """See `Acting.gather`."""
        return self._host.unreplicate_state(acting_state)

    def new_actor(self, program: Program, rollout: Any) -> Actor:
        """See `Acting.new_actor`."""
        return OverlappedActor(program, rollout)
