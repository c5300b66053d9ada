"""Conducts one run from beginning to end: its directory, its loggers, its loop."""

import contextlib
import dataclasses
import gc
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import SupportsFloat

from ksim.config import save_config
from ksim.config.concerns import PhysicsConfig, TrainingConfig
from ksim.parallel.processes import ProcessGroup, current_processes, report_to_launcher
from ksim.reporting.csv_logger import CsvLogger
from ksim.reporting.loggers import (
    JsonLinesLogger,
    MetricsLogger,
    TensorBoardLogger,
    attach_log_file,
)
from ksim.reporting.status import RunStatus
from ksim.storage.checkpoint_folder import BEST_NAME, set_aside_later_checkpoints
from ksim.storage.run_directory import RunDirectory, create_run_directory
from ksim.storage.run_lock import run_lock
from ksim.training.baseline import single_device_rate
from ksim.training.compilation import compile_rollout
from ksim.training.evaluation import (
    Episodes,
    evaluation_environments,
    evaluation_seconds,
    run_episodes,
)
from ksim.training.interrupt import GracefulStop
from ksim.training.loop import LoopSettings, TrainingLoop
from ksim.training.metrics import Metrics
from ksim.training.program import EVALUATE, Program
from ksim.training.saving import SaveSettings
from ksim.training.start import Start
from ksim.training.train_state import TrainState
from ksim.xla.compilation_cache import enable_compilation_cache

# Options that say where a run is, not what it is; a file that repeats the run leaves them out.
_OF_THIS_START = (
    "run_dir",
    "load_from_ckpt_path",
    "coordinator_address",
    "coordinator_bind_address",
    "num_processes",
    "process_id",
)


@dataclasses.dataclass(frozen=True)
class RunResult:
    """Result of a finished run.

    Attributes:
      path: the run's directory.
      iteration: iterations finished, since the run's very beginning.
      train_state: the state of the last iteration, on the host.
      metrics: the metrics of the last iteration.
    """

    path: Path
    iteration: int
    train_state: TrainState
    metrics: Metrics


def train(program: Program, config: TrainingConfig, start: Start) -> RunResult:
    """Trains until `max_steps`, Ctrl-C or SIGTERM, and shows the run's directory.

    Args:
      program: the built task.
      config: the task's config; it is written into the run's directory.
      start: the start of the run.

    Returns:
      The result of the run.

    Raises:
      ConfigError: if the run directory cannot be written, or a checkpoint does not fit.
      FloatingPointError: if the loss is no longer finite.
    """
    start_time = time.monotonic()
    processes = current_processes()
    start.check(program, processes)
    if config.is_compilation_cached:
        enable_compilation_cache()
    with contextlib.ExitStack() as context:
        run_directory = _open_run_directory(program, config, start, context)
        # Tracing creates many objects, and scanning all that JAX has imported again and again took
        # 8% of the time to the first update of the walking task from a warm cache.
        gc.freeze()
        context.callback(gc.unfreeze)
        recorder = _LastMetrics()
        loggers: list[MetricsLogger] = [recorder]
        if processes.is_main:
            loggers += _open_loggers(run_directory, config, start.step, context)
        else:
            print(_introduction_of_other(processes), flush=True)
        status = RunStatus(config.max_steps, is_shown=processes.is_main)
        with status, GracefulStop(status.message) as stop:
            settings = _loop_settings(config, program, start)
            status.message(_introduction(program, config, run_directory.path, start))
            for name, note in program.notes.items():
                status.message(f"{name}={getattr(config, name)}: {note}")
            for difference in start.differences(config, program.task_name):
                status.message(f"warning: {difference}")
            loop = TrainingLoop(program, settings, run_directory, loggers, status, processes)
            state = loop.run(start, stop, start_time)
            # No process leaves while another one still saves.
            processes.exchange("the end of the run", None)
        # After the display has shown its last iteration: the path of the run stands last.
        status.message(_conclusion(state.iteration, loop, run_directory.path, recorder.metrics))
    return RunResult(
        path=run_directory.path,
        iteration=state.iteration,
        train_state=program.partitioner.unreplicate_state(state.train_state),
        metrics=recorder.metrics,
    )


def _open_run_directory(
    program: Program, config: TrainingConfig, start: Start, context: contextlib.ExitStack
) -> RunDirectory:
    """Creates and locks the run directory on process 0; returns it on all. `context` unlocks."""
    processes = current_processes()
    path = None
    if processes.is_main:
        run_directory = create_run_directory(config.run_dir, program.task_name)
        context.enter_context(run_lock(run_directory.path))
        save_config(config, run_directory.config_path, program.notes, _OF_THIS_START)
        set_aside_later_checkpoints(run_directory.checkpoints_path, start.step)
        # A restart from another run's checkpoint has to find that one again.
        is_own = start.path is not None and run_directory.holds(start.path)
        report_to_launcher(str(run_directory.path), start.step if is_own else 0)
        path = str(run_directory.path)
    return RunDirectory(Path(processes.from_main("the run directory", path)))


def _open_loggers(
    run_directory: RunDirectory,
    config: TrainingConfig,
    finished: int,
    context: contextlib.ExitStack,
) -> list[MetricsLogger]:
    """Opens the files of a run that grow; `context` closes them."""
    context.enter_context(contextlib.closing(attach_log_file(run_directory.log_path)))
    loggers: list[MetricsLogger] = [
        JsonLinesLogger(run_directory.metrics_path, finished + 1),
        TensorBoardLogger(run_directory.tensorboard_path, finished + 1),
    ]
    if config.has_metrics_csv:
        loggers.append(CsvLogger(run_directory.csv_path, finished + 1))
    return [context.enter_context(contextlib.closing(logger)) for logger in loggers]


def evaluate_checkpoint(
    program: Program, config: TrainingConfig, start: Start, observations: Sequence[str] = ()
) -> Episodes:
    """Evaluates the policy of a checkpoint, without learning and without a run directory.

    Args:
      program: the built task.
      config: the task's config.
      start: the checkpoint.
      observations: names of the observations to keep.

    Returns:
      The first episode of every environment; their metrics are shown.

    Raises:
      ConfigError: if no checkpoint is named, or it does not fit.
    """
    check_observation_names(program, observations)
    train_state, path = start.load_train_state(program, config)
    if config.is_compilation_cached:
        enable_compilation_cache()
    with RunStatus(is_shown=current_processes().is_main) as status:
        state = program.place_train_state(train_state)
        rollout = compile_rollout(
            program,
            state,
            evaluation_environments(program, config.seed),
            program.rollout_request(EVALUATE, 0),
            status,
        )
        with status.phase("evaluating the policy") as on_progress:
            episodes = run_episodes(
                program,
                rollout,
                state,
                int(train_state.iteration),
                config.seed,
                evaluation_seconds(config, program),
                observations,
                on_progress,
            )
        status.message(f"{path}, {program.num_envs} episodes:")
        for name, value in episodes.metrics().items():
            status.message(f"  {name} {value:.4g}")
    return episodes


def check_observation_names(program: Program, names: Sequence[str]) -> None:
    """Raises KeyError, with the names that exist, if the environment lacks an observation."""
    exist = program.environment.observation_shapes()
    for name in names:
        if name not in exist:
            raise KeyError(f"{name}: no such observation. Observations: {', '.join(exist)}.")


def _loop_settings(config: TrainingConfig, program: Program, start: Start) -> LoopSettings:
    return LoopSettings(
        seed=config.seed,
        max_steps=config.max_steps,
        eval_every_n_steps=config.eval_every_n_steps,
        stop_at_return=config.stop_at_return,
        eval_length_seconds=evaluation_seconds(config, program),
        saving=SaveSettings(
            every_n_steps=config.save_every_n_steps,
            every_n_seconds=config.save_every_n_seconds,
            num_kept=config.keep_checkpoints,
            metadata=start.metadata(config, program.task_name, program.num_envs)
            | dict(program.kept_options),
        ),
        single_device_rate=single_device_rate(config),
    )


class _LastMetrics:
    """A logger that remembers the last iteration."""

    def __init__(self) -> None:
        self.metrics: Metrics = {}

    def log(
        self,
        iteration: int,
        env_steps: int,
        wall_seconds: float,
        metrics: Mapping[str, SupportsFloat],
    ) -> None:
        self.metrics = {name: float(value) for name, value in metrics.items()}

    def close(self) -> None:
        """Nothing to close."""


def _introduction(program: Program, config: TrainingConfig, path: Path, start: Start) -> str:
    devices = program.partitioner.devices
    processes = current_processes()
    where = f" in {processes.count} processes" if processes.count > 1 else ""
    text = (
        f"Run {path} {start.text(config)}: {program.num_envs} environments on"
        f" {len(devices)} {devices[0].device_kind} device(s){where}, {program.rollout_length}"
        " control steps in an iteration."
    )
    physics = program.environment.physics_description
    if physics is None:
        return text
    is_auto = isinstance(config, PhysicsConfig) and config.engine == "auto"
    reason = f" (engine=auto, and the devices are a {devices[0].platform})" if is_auto else ""
    return f"{text} Physics: {physics}{reason}."


def _introduction_of_other(processes: ProcessGroup) -> str:
    me = str(processes.peers[processes.index])
    return f"{me[0].upper()}{me[1:]} takes part; process 0 shows and writes the run."


def _conclusion(iteration: int, loop: TrainingLoop, path: Path, metrics: Metrics) -> str:
    how = f"Stopped ({loop.stopped_by})" if loop.stopped_by else "Finished"
    score = ""
    if "eval/episode/return" in metrics:
        score = f", evaluation return {metrics['eval/episode/return']:.2f}"
    if loop.is_return_reached:
        score += " (stop_at_return is reached)"
    best = loop.saver.best_return
    if best > metrics.get("eval/episode/return", -math.inf):
        kept = path / BEST_NAME
        score += f" (the best evaluation returned {best:.2f}: load_from_ckpt_path={kept})"
    return f"{how} after {iteration} iterations{score}. The run is in {path}"
