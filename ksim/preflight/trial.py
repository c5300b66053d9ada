"""Times a few throw-away iterations of a program."""

import dataclasses
import statistics
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ksim.reporting.status import RunStatus
from ksim.training.compilation import CompiledProgram, compile_program
from ksim.training.program import TRAIN, Program
from ksim.training.telemetry import DeviceClock


@dataclasses.dataclass
class Trial:
    """A compiled program and the states that it goes on from, in the partitioner's layout.

    `num_iterations` counts those that it has run.
    """

    program: Program
    compiled: CompiledProgram
    train_state: Any
    env_state: Any
    memory: Any
    num_iterations: int = 0

    @classmethod
    def compile(cls, program: Program, seed: int, status: RunStatus) -> "Trial":
        """Compiles a program for the states of a new run."""
        with status.phase("building the initial state"):
            train_state = program.place_train_state(program.initial_train_state(seed))
            env_state = program.partitioner.shard_environments(program.new_environments(seed))
            memory = program.partitioner.shard_environments(program.new_memory())
        compiled = compile_program(
            program, train_state, env_state, program.rollout_request(TRAIN, 0), status
        )
        return cls(program, compiled, train_state, env_state, memory)

    def run(self, num_iterations: int = 1) -> "TrialTimes":
        """Runs and times iterations, after one to warm up; advances the states."""
        rollouts, updates, steps, metrics = [], [], [], {}
        clock = DeviceClock(self.program.partitioner.num_devices)
        for iteration in range(num_iterations + 1):
            began = time.monotonic()
            self.env_state, trajectory, sums = self.compiled.rollout(
                self.train_state, self.env_state, self.program.rollout_request(TRAIN, iteration)
            )
            device_seconds = clock.wait(sums.num_steps, began)
            jax.block_until_ready(sums)
            acted = time.monotonic()
            self.train_state, self.memory, metrics = self.compiled.update(
                self.train_state, self.memory, trajectory, sums
            )
            jax.block_until_ready(metrics)
            rollouts.append(acted - began)
            updates.append(time.monotonic() - acted)
            num_steps = self.program.partitioner.gather_environments(sums.num_steps)
            steps.append(float(np.sum(num_steps)))
            self.num_iterations += 1
        metrics = self.program.partitioner.unreplicate_state(metrics)
        return TrialTimes(
            rollout_seconds=statistics.median(rollouts[1:]),
            update_seconds=statistics.median(updates[1:]),
            num_steps=statistics.median(steps[1:]),
            device_seconds=device_seconds,
            update_metrics={name: float(value) for name, value in metrics.items()},
        )


@dataclasses.dataclass(frozen=True)
class TrialTimes:
    """The median iteration of a trial.

    Attributes:
      rollout_seconds: time until all devices had acted, s.
      update_seconds: time from then until they had learned, s.
      num_steps: environment steps of all devices.
      device_seconds: time until each device of this process had acted in the last iteration, s, by
        its place in the run; empty for one device.
      update_metrics: metrics of the last update.
    """

    rollout_seconds: float
    update_seconds: float
    num_steps: float
    device_seconds: Mapping[int, float]
    update_metrics: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Environment steps in a second, over all devices."""
        return self.num_steps / (self.rollout_seconds + self.update_seconds)
