"""Acts in turn with learning, on the same devices."""

import time
from typing import Any

import jax

from ksim.parallel import Partitioner
from ksim.rl import RolloutStatistics, Trajectory
from ksim.training.acting import Acted, Acting, Actor
from ksim.training.program import TRAIN, Program
from ksim.training.run_state import RunState
from ksim.training.telemetry import DeviceClock


class Rollouts:
    """Calls the compiled rollout."""

    def __init__(self, program: Program, rollout: Any) -> None:
        self._program = program
        self._rollout = rollout
        self._clock = DeviceClock(program.actor.num_devices)

    def run(self, acting_state: Any, env_state: Any, iteration: int) -> Acted:
        """Acts for one iteration, and waits for the end.

        Args:
          acting_state: the train state that acts, in the layout of what acts.
          env_state: where the environments are, likewise.
          iteration: iterations finished.
        """
        program = self._program
        began = time.monotonic()
        env_state, trajectory, statistics = self._rollout(
            acting_state, env_state, program.rollout_request(TRAIN, iteration)
        )
        device_seconds = self._clock.wait(statistics.num_steps, began)
        jax.block_until_ready(statistics)
        seconds = time.monotonic() - began
        return Acted(
            env_state,
            *program.acting.to_learner(program.partitioner, trajectory, statistics),
            totals=program.actor.gather_environments(statistics),
            seconds=seconds,
            device_seconds=device_seconds,
        )


class ActorInTurn(Actor):
    """Acts while the devices wait, with the parameters that they learned last."""

    def __init__(self, program: Program, rollout: Any) -> None:
        self._rollouts = Rollouts(program, rollout)

    def act(self, state: RunState, is_last: bool) -> Acted:
        """See `Actor.act`."""
        del is_last
        return self._rollouts.run(state.train_state, state.env_state, state.iteration)

    def rollout_seconds(self, acted: Acted, waited: float) -> float:
        """See `Actor.rollout_seconds`; until all processes had acted."""
        del acted
        return waited


class InTurn(Acting):
    """Lets the devices that learn act in turn, with the state that learns."""

    has_own_state = False

    def partitioner(self, learner: Partitioner) -> Partitioner:
        """See `Acting.partitioner`."""
        return learner

    def to_actor(self, learner: Partitioner, train_state: Any) -> Any:
        """See `Acting.to_actor`."""
        del learner
        return train_state

    def to_learner(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """See `Acting.to_learner`."""
        del learner
        return trajectory, statistics

    def shapes_to_learn_from(
        self, learner: Partitioner, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """See `Acting.shapes_to_learn_from`."""
        del learner
        return trajectory, statistics

    def placed_shapes(self, train_state_shapes: Any) -> Any:
        """See `Acting.placed_shapes`."""
        del train_state_shapes

    def place(self, train_state: Any) -> Any:
        """See `Acting.place`."""
        del train_state

    def gather(self, acting_state: Any) -> Any:
        """See `Acting.gather`."""
        del acting_state

    def new_actor(self, program: Program, rollout: Any) -> Actor:
        """See `Acting.new_actor`."""
        return ActorInTurn(program, rollout)
