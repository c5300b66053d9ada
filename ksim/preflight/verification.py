"""Tries a run before it starts: its devices, memory and speed, and what is wrong with it."""

import dataclasses
from collections.abc import Callable

from ksim.config import ConfigError
from ksim.config.concerns import RunConfig
from ksim.parallel import CollectiveSpeed, free_bytes
from ksim.parallel.processes import ProcessGroup, current_processes
from ksim.preflight import report
from ksim.preflight.checklist import Check
from ksim.preflight.checks import run_checks
from ksim.preflight.device_fit import DeviceFit, device_fit
from ksim.preflight.distinctness import Distinctness, count_distinct
from ksim.preflight.program_memory import program_memory
from ksim.preflight.trial import Trial
from ksim.reporting.status import RunStatus
from ksim.training.program import Program
from ksim.training.telemetry import Telemetry, collective_speed
from ksim.xla.compilation_cache import enable_compilation_cache


@dataclasses.dataclass(frozen=True)
class Preflight:
    """Results of a trial.

    Attributes:
      fit: the devices, and the memory that the run takes on them.
      speed: speed of averages over the devices; `None` for one device.
      distinctness: counts of different environments.
      metrics: `throughput/...`, `time/...` and `communication/...` of one iteration.
      num_processes: processes of the run.
      checks: the checklist.
    """

    fit: DeviceFit
    speed: CollectiveSpeed | None
    distinctness: Distinctness
    metrics: dict[str, float]
    num_processes: int
    checks: tuple[Check, ...]

    def require_passed(self) -> None:
        """Raises if a check of the list has failed.

        Raises:
          ConfigError: if one has; it names all that have.
        """
        failed = [str(check).strip() for check in self.checks if check.has_passed is False]
        if failed:
            raise ConfigError(
                f"{len(failed)} of {len(self.checks)} checks failed. " + ". ".join(failed) + "."
            )

    def warnings(self) -> list[str]:
        """Returns likely mistakes, each with its remedy."""
        num_envs = self.fit.num_envs
        found = self.fit.warnings()
        randomized = self.distinctness.num_randomized
        if randomized is not None and randomized < num_envs:
            found.append(
                f"{num_envs} environments have only {randomized} different randomizations. If"
                " their randomizers draw from a continuous range, one of them does not use the key"
                " that it is given."
            )
        if self.distinctness.num_states < num_envs:
            found.append(
                f"After a rollout {num_envs} environments are in only"
                f" {self.distinctness.num_states} different states. Unless the world has few"
                " states, reset or step does not use the key that it is given."
            )
        return found


def verify(
    program: Program,
    config: RunConfig,
    num_batches: int,
    on_one_device: Callable[[], Program] | None = None,
) -> Preflight:
    """Compiles a program, runs two iterations of it, and shows the results.

    Nothing is kept. All processes of a run call this together; the first one shows.

    Args:
      program: the built task.
      config: options of the run: its seed, and whether compiled programs are kept.
      num_batches: minibatches in a pass; a smaller run keeps their number.
      on_one_device: builds the same task on one device, to compare the speed with; `None` if that
        cannot be.

    Raises:
      ConfigError: if the run cannot succeed, with what to write instead. Without enough memory,
        nothing is run.
    """
    if config.is_compilation_cached:
        enable_compilation_cache()
    partitioner, seed = program.partitioner, config.seed
    processes = current_processes()
    free = _free_bytes(program, processes)  # before anything lies there
    with RunStatus(is_shown=processes.is_main) as status:
        trial = Trial.compile(program, seed, status)
    memory = program_memory(trial.compiled, trial.train_state, trial.env_state, trial.memory)
    hosts = [peer.host for peer in processes.peers]
    fit = device_fit(program, memory, free, hosts, num_batches)
    if processes.is_main:
        report.show_devices(fit)
    fit.check()
    with RunStatus(is_shown=processes.is_main) as status, status.phase("running a trial"):
        times = trial.run()
        metrics = Telemetry.of(program).metrics(
            times.num_steps,
            times.rollout_seconds + times.update_seconds,
            times.rollout_seconds,
            times.update_seconds,
        )
        distinctness = count_distinct(program, seed, trial.env_state)
        speed = collective_speed(partitioner)
        checks = run_checks(trial, times, config, speed, processes, on_one_device)
    preflight = Preflight(
        fit=fit,
        speed=speed,
        distinctness=distinctness,
        metrics=metrics,
        num_processes=processes.count,
        checks=checks,
    )
    if processes.is_main:
        _show(preflight, program)
    return preflight


def _show(preflight: Preflight, program: Program) -> None:
    report.show_lines(
        [
            *(f"{name}: {note}" for name, note in program.notes.items()),
            *report.memory_lines(preflight.fit),
            *report.speed_lines(preflight.metrics, preflight.speed),
            *report.difference_lines(preflight.distinctness, program.num_envs),
            *report.agreement_lines(preflight.num_processes),
            *(f"Warning: {warning}" for warning in preflight.warnings()),
            "Checklist:",
            *map(str, preflight.checks),
        ]
    )


def _free_bytes(program: Program, processes: ProcessGroup) -> list[int | None]:
    """Returns the free bytes of each device of the run; every process knows its own."""
    own = free_bytes(program.partitioner.devices, len(processes.peers_on_my_host))
    views = processes.exchange("free memory", own)
    return [
        next((free for free in of_device if free is not None), None)
        for of_device in zip(*views, strict=True)
    ]
