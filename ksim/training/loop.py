"""The loop of a run: act, learn, log, save."""

import dataclasses
import functools
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ksim.parallel.processes import ProcessGroup, SingleProcess
from ksim.reporting.loggers import MetricsLogger
from ksim.reporting.status import RunStatus
from ksim.storage.run_directory import RunDirectory
from ksim.training.acting import Actor
from ksim.training.compilation import CompiledProgram, compile_program
from ksim.training.evaluation import run_episodes
from ksim.training.garbage_collection import no_garbage_collection
from ksim.training.interrupt import GracefulStop
from ksim.training.metrics import Metrics, check_update_metrics, rollout_metrics, without_learning
from ksim.training.program import TRAIN, Program
from ksim.training.run_state import RunState
from ksim.training.saving import Saver, SaveSettings, is_due
from ksim.training.start import Start
from ksim.training.telemetry import Telemetry, device_metrics
from ksim.training.workload import Workload


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop, beside the program.

    Attributes:
      seed: of the run.
      max_steps: iterations after which it ends; `None` runs until stopped.
      eval_every_n_steps: iterations from one evaluation to the next; `None` for the last only.
      eval_length_seconds: length of an evaluation, simulated s; `None` for no evaluation.
      saving: when the run is saved; only at its end by default.
      single_device_rate: environment steps that one device alone does in a second, to compare
        with; `None` if it is not known.
      stop_at_return: the run ends once the episodes of an iteration, and then an evaluation, return
        at least this on average; `None` does not end it.
    """

    seed: int
    max_steps: int | None
    eval_every_n_steps: int | None
    eval_length_seconds: float | None
    saving: SaveSettings = dataclasses.field(default_factory=SaveSettings)
    single_device_rate: float | None = None
    stop_at_return: float | None = None


class TrainingLoop:
    """Runs a program until its last iteration, or a signal to stop.

    Attributes:
      stopped_by: the signal that ended the run, in words; None if none did.
      is_return_reached: whether the run ended because of `stop_at_return`.
      saver: saves it.
    """

    def __init__(
        self,
        program: Program,
        settings: LoopSettings,
        run_directory: RunDirectory | None,
        loggers: list[MetricsLogger],
        status: RunStatus,
        processes: ProcessGroup | None = None,
    ) -> None:
        """Prepares the loop; without a run directory it saves nothing."""
        self._program = program
        self._settings = settings
        self._directory = run_directory
        self._loggers = loggers
        self._status = status
        self._processes = processes or SingleProcess()
        self.stopped_by: str | None = None
        self.is_return_reached = False
        self.saver = Saver(program, settings.saving, run_directory, self._processes)

    def run(self, start: Start, stop: GracefulStop, start_time: float) -> RunState:
        """Trains.

        Args:
          start: where the run starts.
          stop: says when the user wants to stop.
          start_time: when the run began (`time.monotonic`), for `time/first_update_seconds`.

        Returns:
          The state at the end.
        """
        program, status = self._program, self._status
        with ThreadPoolExecutor(max_workers=1) as other_thread, no_garbage_collection():
            with status.phase("tracing the initial state"):
                train_state, env_state, acting_state = program.placed_shapes()
            initial_state = other_thread.submit(self._initial_state, start)
            request = program.rollout_request(TRAIN, 0)
            compiled = compile_program(
                program, train_state, env_state, request, status, acting_state
            )
            with status.phase("building the initial state"):
                state = initial_state.result()
        self.saver.begin(start, state.iteration)
        actor = program.acting.new_actor(program, compiled.rollout)
        first_iteration = state.iteration
        began = time.monotonic()
        while not self._is_finished(state) and not self._is_stopping(stop):
            metrics, learned = self._iterate(actor, compiled.update, state)
            if state.iteration == first_iteration + 1:
                metrics["time/first_update_seconds"] = learned - start_time
                self._say_that_devices_agree()
                self._save_workload()
            if self._is_time_to_evaluate(metrics, state):
                metrics |= self._evaluate(compiled, state)
            self.is_return_reached = self._has_returned(
                metrics, "episode/return", "eval/episode/return"
            )
            env_steps = state.iteration * program.num_envs * program.rollout_length
            for logger in self._loggers:
                logger.log(state.iteration, env_steps, learned - began, metrics)
            status.update(state.iteration, metrics)
            self.saver.save_if_due(state, self._decide_together(state, stop))
        self.saver.save_end(state)
        return state

    def _initial_state(self, start: Start) -> RunState:
        return RunState.place(self._program, start.parts(self._program, self._settings.seed))

    def _say_that_devices_agree(self) -> None:
        """Shows what was checked of the first update, as it is of every one."""
        num_devices = self._program.partitioner.num_devices
        if num_devices > 1:
            self._status.message(f"Parameters are the same bits on all {num_devices} devices.")

    def _save_workload(self) -> None:
        """Writes the workload of a run for `ksim plan`; measured when telemetry is."""
        workload = Workload.of(self._program, self._processes)
        if self._directory is not None and self._processes.is_main:
            workload.save(self._directory.path)

    @functools.cached_property
    def _telemetry(self) -> Telemetry:
        """Measured after the first update, which need not wait for it."""
        return Telemetry.of(self._program, self._settings.single_device_rate)

    def _iterate(self, actor: Actor, update: Any, state: RunState) -> tuple[Metrics, float]:
        """Acts and learns once; changes `state`.

        Returns:
          The metrics of the iteration, and when it had learned (`time.monotonic`).
        """
        began = time.monotonic()
        max_steps = self._settings.max_steps
        is_last = max_steps is not None and state.iteration + 1 >= max_steps
        acted = actor.act(state, is_last)
        if self._processes.count > 1:
            self._processes.mark(f"the update of iteration {state.iteration + 1}")
        has_acted = time.monotonic()
        train_state, memory, metrics = update(
            state.train_state, state.memory, acted.trajectory, acted.statistics
        )
        metrics = self._program.partitioner.unreplicate_state(metrics)
        values = {name: float(value) for name, value in metrics.items()}
        if state.iteration < self._program.num_acting_only:
            values = without_learning(values)
        learned = time.monotonic()
        state.train_state, state.env_state, state.memory = train_state, acted.env_state, memory
        state.iteration += 1
        acted_metrics = rollout_metrics(acted.totals)
        check_update_metrics(values, state.iteration, acted_metrics)
        num_steps = float(np.sum(acted.totals.num_steps))
        rollout_seconds = actor.rollout_seconds(acted, waited=has_acted - began)
        times = (learned - began, rollout_seconds, learned - has_acted)
        metrics = {
            **acted_metrics,
            **values,
            **self._telemetry.metrics(num_steps, *times),
            **device_metrics(acted.device_seconds),
        }
        return metrics, learned

    def _evaluate(self, compiled: CompiledProgram, state: RunState) -> Metrics:
        if self._settings.eval_length_seconds is None:
            return {}
        with self._status.phase("evaluating the policy") as on_progress:
            episodes = run_episodes(
                self._program,
                compiled.rollout,
                self._program.to_actor(state.train_state),
                state.iteration,
                self._settings.seed,
                self._settings.eval_length_seconds,
                on_progress=on_progress,
            )
            metrics = episodes.metrics()
        self.saver.note_evaluation(state.iteration, metrics["eval/episode/return"])
        return metrics

    def _decide_together(self, state: RunState, stop: GracefulStop) -> bool:
        """Agrees among processes on signals and clocks, which one may see and another not.

        Returns:
          Whether it is time to save, by the clock of process 0.
        """
        views = self._processes.exchange(
            f"the end of iteration {state.iteration}", [stop.requested, self.saver.is_time()]
        )
        for index, (signal_name, _) in enumerate(views):
            if signal_name is not None and self.stopped_by is None:
                self.stopped_by = signal_name
                if index != self._processes.index:
                    self.stopped_by += f" in process {index}"
                    self._status.message(f"Stopping: process {index} was sent {signal_name}.")
        is_time: bool = views[0][1]
        return is_time

    def _is_stopping(self, stop: GracefulStop) -> bool:
        if self._processes.count == 1:  # also for a signal during the save
            self.stopped_by = stop.requested
        return self.stopped_by is not None

    def _is_finished(self, state: RunState) -> bool:
        max_steps = self._settings.max_steps
        is_last = max_steps is not None and state.iteration >= max_steps
        return is_last or self.is_return_reached

    def _is_time_to_evaluate(self, metrics: Metrics, state: RunState) -> bool:
        """Returns the same in all processes, like all metrics that do not measure time."""
        return (
            is_due(self._settings.eval_every_n_steps, state.iteration)
            or self._is_finished(state)
            or self._has_returned(metrics, "episode/return")
        )

    def _has_returned(self, metrics: Metrics, *names: str) -> bool:
        """Returns whether all of these metrics are at least `stop_at_return`."""
        least = self._settings.stop_at_return
        return least is not None and all(metrics.get(name, -math.inf) >= least for name in names)
