"""The loop of a run: act, learn, log, save."""

import dataclasses
import functools
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ksim.parallel.processes import ProcessGroup, SingleProcess, report_to_launcher
from ksim.reporting.loggers import MetricsLogger
from ksim.reporting.status import RunStatus
from ksim.storage.checkpoint import save_checkpoint
from ksim.storage.checkpoint_folder import EVALUATION_RETURN, best_return, prune_checkpoints
from ksim.storage.run_directory import RunDirectory
from ksim.training.actor import Acted, Actor
from ksim.training.compilation import compile_program
from ksim.training.evaluation import run_episodes
from ksim.training.garbage_collection import no_garbage_collection
from ksim.training.interrupt import GracefulStop
from ksim.training.metrics import Metrics, check_update_metrics, rollout_metrics
from ksim.training.program import TRAIN, CompiledProgram, Program
from ksim.training.start import Start
from ksim.training.telemetry import Telemetry, device_metrics
from ksim.training.workload import Workload


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """What the loop is told, beside the program.

    Attributes:
      seed: of the run.
      max_steps: iterations after which it ends; `None` runs until stopped.
      save_every_n_steps: iterations from one checkpoint to the next; `None` for none.
      save_every_n_seconds: seconds from one checkpoint to the next; `None` for none.
      keep_checkpoints: how many of the newest are kept.
      eval_every_n_steps: iterations from one evaluation to the next; `None` for the last only.
      eval_length_seconds: length of an evaluation, simulated s; `None` for no evaluation.
      metadata: what is stored with every checkpoint; JSON data.
      single_device_rate: environment steps that one device alone does in a second, to compare
        with; `None` if it is not known.
      stop_at_return: the run ends once the episodes of an iteration, and then an evaluation, return
        at least this on average; `None` does not end it.
    """

    seed: int
    max_steps: int | None
    save_every_n_steps: int | None
    save_every_n_seconds: float | None
    keep_checkpoints: int
    eval_every_n_steps: int | None
    eval_length_seconds: float | None
    metadata: dict[str, Any]
    single_device_rate: float | None = None
    stop_at_return: float | None = None


@dataclasses.dataclass
class RunState:
    """A run between two iterations.

    Attributes:
      train_state: what learns, in the layout of what learns.
      env_state: where the environments are, in the layout of what acts.
      acting_state: the train state that acts in the next iteration, in the layout of what acts;
        `None` if that is `train_state`.
      iteration: iterations finished.
    """

    train_state: Any
    env_state: Any
    acting_state: Any
    iteration: int


class TrainingLoop:
    """Runs a program until its last iteration, or until it is told to stop.

    Attributes:
      stopped_by: the signal that ended the run, in words; None if none did.
      is_return_reached: whether the run ended because of `stop_at_return`.
      best_return: the highest mean return of an evaluation of which a checkpoint is kept; -inf if
        there is none.
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
        self.best_return = -math.inf
        self._is_time_to_save = False
        self._last_save_time = time.monotonic()
        self._saved_iteration: int | None = None
        self._evaluated_iteration: int | None = None
        self._evaluation_return = -math.inf
        self._ahead: Future[Acted] | None = None

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
            initial_state = other_thread.submit(self.initial_state, start)
            request = program.rollout_request(TRAIN, 0)
            compiled = compile_program(
                program, train_state, env_state, request, status, acting_state
            )
            with status.phase("building the initial state"):
                state = initial_state.result()
        kept = self._kept_return(start)
        self.best_return = self._processes.from_main("the best evaluation", kept)
        actor = Actor(program, compiled.rollout)
        first_iteration = state.iteration
        began = time.monotonic()
        while not self._is_finished(state) and not self._is_stopping(stop):
            metrics, learned = self._iterate(actor, compiled.update, state)
            if state.iteration == first_iteration + 1:
                metrics["time/first_update_seconds"] = learned - start_time
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
            self._decide_together(state, stop)
            self._save_if_due(state)
        if self._saved_iteration != state.iteration and state.iteration > first_iteration:
            self._save(state)
        return state

    def initial_state(self, start: Start) -> RunState:
        """Returns the state of a new run, or that of a checkpoint."""
        program = self._program
        whole = start.states(program, self._settings.seed)
        train_state, env_state = whole["train"], whole["environments"]
        acting_state = whole.get("acting", train_state)
        is_overlapped = program.host is not None
        return RunState(
            train_state=program.place_train_state(train_state),
            env_state=program.actor.shard_environments(env_state),
            acting_state=program.actor.replicate_state(acting_state) if is_overlapped else None,
            iteration=int(train_state.iteration),
        )

    def _save_workload(self) -> None:
        """Says for `ksim plan` what a run is; measured when telemetry is."""
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
        acted = self._act(actor, state)
        if self._processes.count > 1:
            self._processes.mark(f"the update of iteration {state.iteration + 1}")
        has_acted = time.monotonic()
        train_state, metrics = update(state.train_state, acted.trajectory, acted.statistics)
        metrics = self._program.partitioner.unreplicate_state(metrics)
        values = {name: float(value) for name, value in metrics.items()}
        learned = time.monotonic()
        state.train_state, state.env_state = train_state, acted.env_state
        state.iteration += 1
        acted_metrics = rollout_metrics(acted.totals)
        check_update_metrics(values, state.iteration, acted_metrics)
        num_steps = float(np.sum(acted.totals.num_steps))
        is_overlapped = self._program.host is not None
        rollout_seconds = acted.seconds if is_overlapped else has_acted - began
        times = (learned - began, rollout_seconds, learned - has_acted)
        metrics = {
            **acted_metrics,
            **values,
            **self._telemetry.metrics(num_steps, *times),
            **device_metrics(acted.device_seconds),
        }
        return metrics, learned

    def _act(self, actor: Actor, state: RunState) -> Acted:
        """Returns the rollout to learn from; where acting is overlapped, starts the next one."""
        if self._program.host is None:
            return actor.act(state.train_state, state.env_state, state.iteration)
        if self._ahead is None:
            self._ahead = actor.start(state.acting_state, state.env_state, state.iteration)
        acted = self._ahead.result()
        state.acting_state = self._program.to_actor(state.train_state)
        following, max_steps = state.iteration + 1, self._settings.max_steps
        self._ahead = None
        if max_steps is None or following < max_steps:
            self._ahead = actor.start(state.acting_state, acted.env_state, following)
        return acted

    def _evaluate(self, compiled: CompiledProgram, state: RunState) -> Metrics:
        if self._settings.eval_length_seconds is None:
            return {}
        with self._status.phase("evaluating the policy"):
            episodes = run_episodes(
                self._program,
                compiled.rollout,
                self._program.to_actor(state.train_state),
                state.iteration,
                self._settings.seed,
                self._settings.eval_length_seconds,
            )
            metrics = episodes.metrics()
        self._evaluated_iteration = state.iteration
        self._evaluation_return = metrics["eval/episode/return"]
        return metrics

    def _kept_return(self, start: Start) -> float:
        """Returns the best return of the checkpoints that the directory has already."""
        if self._directory is None or not self._processes.is_main:
            return -math.inf
        return best_return(self._directory.checkpoints_path, start.checkpoint)

    def _decide_together(self, state: RunState, stop: GracefulStop) -> None:
        """Settles what the clock and signals say, which one process may see and another not."""
        seconds = self._settings.save_every_n_seconds
        is_time = seconds is not None and time.monotonic() - self._last_save_time >= seconds
        views = self._processes.exchange(
            f"the end of iteration {state.iteration}", [stop.requested, is_time]
        )
        self._is_time_to_save = views[0][1]
        for index, (signal_name, _) in enumerate(views):
            if signal_name is not None and self.stopped_by is None:
                self.stopped_by = signal_name
                if index != self._processes.index:
                    self.stopped_by += f" in process {index}"
                    self._status.message(f"Stopping: process {index} was sent {signal_name}.")

    def _is_stopping(self, stop: GracefulStop) -> bool:
        if self._processes.count == 1:  # also for a signal during the save
            self.stopped_by = stop.requested
        return self.stopped_by is not None

    def _save_if_due(self, state: RunState) -> None:
        is_evaluated = self._evaluated_iteration == state.iteration
        is_best = is_evaluated and self._evaluation_return > self.best_return
        is_step = self._is_due(self._settings.save_every_n_steps, state)
        if is_best or is_step or self._is_time_to_save:
            self._save(state)

    def _save(self, state: RunState) -> None:
        """Saves both pytrees in the global layout, then removes what is too old.

        All processes give their part; process 0 writes.
        """
        if self._directory is None:
            return
        program = self._program
        whole = {
            "train": program.partitioner.unreplicate_state(state.train_state),
            "environments": program.actor.gather_environments(state.env_state),
        }
        if program.host is not None:
            whole["acting"] = program.host.unreplicate_state(state.acting_state)
        metadata = self._settings.metadata
        if self._evaluated_iteration == state.iteration:
            metadata = metadata | {EVALUATION_RETURN: self._evaluation_return}
            self.best_return = max(self.best_return, self._evaluation_return)
        if self._processes.is_main:
            directory = self._directory.checkpoints_path
            save_checkpoint(directory, state.iteration, whole, metadata)
            prune_checkpoints(directory, self._settings.keep_checkpoints)
            report_to_launcher(str(self._directory.path), state.iteration)
        self._saved_iteration = state.iteration
        self._last_save_time = time.monotonic()

    def _is_finished(self, state: RunState) -> bool:
        max_steps = self._settings.max_steps
        is_last = max_steps is not None and state.iteration >= max_steps
        return is_last or self.is_return_reached

    def _is_time_to_evaluate(self, metrics: Metrics, state: RunState) -> bool:
        """The same in all processes, as all metrics are that do not measure time."""
        is_due = self._is_due(self._settings.eval_every_n_steps, state)
        return is_due or self._is_finished(state) or self._has_returned(metrics, "episode/return")

    def _has_returned(self, metrics: Metrics, *names: str) -> bool:
        """Whether each of some metrics is at least `stop_at_return`."""
        least = self._settings.stop_at_return
        return least is not None and all(metrics.get(name, -math.inf) >= least for name in names)

    @staticmethod
    def _is_due(period: int | None, state: RunState) -> bool:
        return period is not None and state.iteration % period == 0
