"""Settles the options that depend on others or on devices: environments, length, precision."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from ksim.config import ConfigError
from ksim.task.config import RLConfig

if TYPE_CHECKING:
    from jaxtyping import PRNGKeyArray

    from ksim.nn import Model
    from ksim.parallel import Partitioner
    from ksim.training.program import Program
    from ksim.training.start import Start

ConfigT = TypeVar("ConfigT", bound=RLConfig)
ObservationShapes = dict[str, tuple[int, ...]]

MATMUL_PRECISION = "matmul_precision"
"""Key in a checkpoint's metadata: the networks' precision, `float32` or `bfloat16`."""

PRECISIONS = ("float32", "bfloat16")


@runtime_checkable
class SizedTask(Protocol[ConfigT]):
    """A task that can be built in other sizes."""

    config: ConfigT

    @property
    def partitioner(self) -> Partitioner:
        """The partitioner of the per-device program."""
        ...

    def build(self) -> Program:
        """Returns the program for the size in the config."""
        ...


class TimedTask(SizedTask[ConfigT], Protocol[ConfigT]):
    """A task whose networks can be timed in either precision."""

    is_progress_shown: bool

    def minibatch_shape(self) -> tuple[int, int]:
        """Returns the steps and the environments of a minibatch, over all devices."""
        ...

    def _get_initial_model(self, rng: PRNGKeyArray) -> Model:
        """Creates the initial model."""
        ...


def settle_automatic(task: SizedTask[ConfigT], start: Start) -> tuple[ConfigT, dict[str, str]]:
    """Chooses the number of environments of a task whose config says `num_envs=auto`.

    `batch_size` is `num_envs` divided by the number of minibatches that the task has by default. A
    continued run keeps its number.

    Args:
      task: the task.
      start: the start of its run.

    Returns:
      Its config with numbers, and notes: why each option has its value.

    Raises:
      ConfigError: if there are several processes, or nothing fits into memory.
    """
    import jax

    from ksim.preflight.number_of_environments import choose_num_envs

    config = task.config
    num_batches = config.default_num_batches
    devices = task.partitioner.devices  # before anything else starts JAX: it may simulate some
    if start.checkpoint is not None:
        num_envs = int(start.checkpoint.metadata["num_envs"])
        reason = f"num_envs=auto: the number that {start.path} was saved with."
    elif jax.process_count() > 1:
        raise ConfigError(
            f"num_envs=auto measures in one process, and there are {jax.process_count()}."
            " Write the number that it chooses in one process, times their number."
        )
    else:

        def build(num_envs: int) -> Program:
            other = copy.copy(task)
            other.config = dataclasses.replace(
                config,
                num_envs=num_envs,
                batch_size=num_envs // num_batches,
                # How long the run is comes after its size, and a trial is as long as any.
                total_timesteps=None,
                max_steps=config.max_steps or 1,
            )
            return other.build()

        chosen = choose_num_envs(
            build,
            devices,
            num_batches,
            config.seed,
            config.is_compilation_cached,
        )
        num_envs, reason = chosen.num_envs, chosen.reason
    batch_size = num_envs // num_batches
    notes = {
        "num_envs": reason,
        "batch_size": f"follows from num_envs=auto: {num_batches} minibatches, as by default.",
    }
    return dataclasses.replace(config, num_envs=num_envs, batch_size=batch_size), notes


def settle_matmul_precision(
    task: TimedTask[ConfigT], start: Start, shapes: Callable[[], ObservationShapes]
) -> tuple[ConfigT, str]:
    """Chooses the precision of matrix products for a config that says `matmul_precision=auto`.

    A continued run keeps its precision. Otherwise, on CPUs, the networks are timed in both;
    process 0 decides for all.

    Args:
      task: a task whose other options are settled.
      start: the start of its run.
      shapes: gives those of its observations, by name; called only if they are needed.

    Returns:
      Its config with `float32` or `bfloat16`, and the reason.
    """
    from ksim.parallel.processes import current_processes

    processes = current_processes()
    chosen = _choose_matmul_precision(task, start, shapes) if processes.is_main else None
    precision, reason = processes.from_main("the precision of matrix products", chosen)
    return dataclasses.replace(task.config, matmul_precision=precision), reason


def _choose_matmul_precision(
    task: TimedTask[ConfigT], start: Start, shapes: Callable[[], ObservationShapes]
) -> tuple[str, str]:
    import jax

    from ksim.preflight.matmul_speed import Minibatch, matmul_times
    from ksim.reporting.status import RunStatus

    config, device = task.config, task.partitioner.devices[0]
    before = {} if start.checkpoint is None else start.checkpoint.metadata
    if before.get(MATMUL_PRECISION) in PRECISIONS:
        return before[MATMUL_PRECISION], f"matmul_precision=auto: as {start.path} was trained."
    if device.platform != "cpu":
        return (
            "float32",
            f"matmul_precision=auto rounds on CPUs only, and this is {device.platform}.",
        )

    def model_shapes(precision: str) -> Any:
        other = copy.copy(task)
        other.config = dataclasses.replace(config, matmul_precision=precision)
        return jax.eval_shape(lambda: other._get_initial_model(jax.random.key(0)))

    num_steps, num_envs = task.minibatch_shape()
    minibatch = Minibatch(
        shapes(),
        num_steps,
        num_envs // task.partitioner.num_devices,
        device,
    )
    with RunStatus(is_shown=task.is_progress_shown) as status:
        models = {precision: model_shapes(precision) for precision in PRECISIONS}
        return matmul_times(models, minibatch, status, config.is_compilation_cached).choice()


def settle_total_timesteps(config: Any, rollout_length: int) -> tuple[Any, str]:
    """Turns `total_timesteps` into iterations, rounded down.

    Args:
      config: with the environments over all devices.
      rollout_length: control steps of an iteration.

    Returns:
      The config with `max_steps` that says the same, and how it follows.

    Raises:
      ConfigError: if it is less than one iteration.
    """
    per_iteration = config.num_envs * rollout_length
    max_steps = config.total_timesteps // per_iteration
    how = f"{config.num_envs} environments * {rollout_length} steps = {per_iteration}"
    if max_steps < 1:
        raise ConfigError(
            f"total_timesteps={config.total_timesteps} is less than one iteration: {how}. Write"
            f" total_timesteps={per_iteration} or more, or lower num_envs or the rollout's length."
        )
    note = (
        f"follows from total_timesteps={config.total_timesteps}, in iterations of {how}, rounded"
        f" down: {max_steps * per_iteration} steps."
    )
    return dataclasses.replace(config, total_timesteps=None, max_steps=max_steps), note


def settle_weak_scaling(config: ConfigT, num_devices: int) -> tuple[ConfigT, dict[str, str]]:
    """Turns numbers of one device into numbers over all devices.

    The learning rates of Adam grow with the root of the number of devices.

    Args:
      config: options with `scaling=weak`.
      num_devices: devices of the run.

    Returns:
      The equivalent config with `scaling=strong`, and notes: why each option has its value.

    Reference:
      Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms",
      arXiv:2205.10287.
    """
    changes: dict[str, Any] = {
        "num_envs": config.num_envs * num_devices,
        "batch_size": config.batch_size * num_devices,
    }
    how = f"scaling=weak on {num_devices} device(s)"
    notes = {name: f"{how}: {getattr(config, name)} on each." for name in changes}
    changes["scaling"] = "strong"
    notes["scaling"] = f"{how}; the numbers here are those over all devices."
    for name in config.learning_rates:
        changes[name] = getattr(config, name) * math.sqrt(num_devices)
        notes[name] = f"{how}: {getattr(config, name)} times the root of {num_devices}."
    return dataclasses.replace(config, **changes), notes
