"""The rollouts of a run."""

import dataclasses
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from ksim.rl import RolloutStatistics
from ksim.training.program import TRAIN, Program
from ksim.training.telemetry import DeviceClock


@dataclasses.dataclass(frozen=True)
class Acted:
    """What came of a rollout.

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


class Actor:
    """Runs the compiled rollout, at once or in a thread of its own."""

    def __init__(self, program: Program, rollout: Any) -> None:
        """Starts no thread before one is needed."""
        self._program = program
        self._rollout = rollout
        self._clock = DeviceClock(program.actor.num_devices)
        self._thread: ThreadPoolExecutor | None = None

    def act(self, acting_state: Any, env_state: Any, iteration: int) -> Acted:
        """Acts for one iteration, and waits for the end.

        Args:
          acting_state: the train state that acts, in the layout of what acts.
          env_state: where the environments are, likewise; not valid afterwards if the devices act
            and learn in turn.
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
            *program.to_learner(trajectory, statistics),
            totals=program.actor.gather_environments(statistics),
            seconds=seconds,
            device_seconds=device_seconds,
        )

    def start(self, acting_state: Any, env_state: Any, iteration: int) -> Future[Acted]:
        """Does what `act` does, while the caller goes on."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="acting")
        return self._thread.submit(self.act, acting_state, env_state, iteration)
