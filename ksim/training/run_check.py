"""What is wrong with where a run reads and writes, said before anything else is imported."""

from pathlib import Path

from ksim.config.concerns import RunConfig
from ksim.parallel.processes import current_processes
from ksim.storage.run_directory import check_run_directory
from ksim.training.resuming import checkpoint_to_continue, checkpoint_to_load, is_trained


def check_run(config: RunConfig, task_name: str) -> None:
    """Checks what a run reads and writes before anything is built; leaves nothing behind.

    Raises:
      ConfigError: if the run directory cannot be written, or there is no checkpoint to load, or
        nothing to compare the speed with.
    """
    check_places(config, task_name)
    if is_trained(config):
        checkpoint_to_continue(config)
    else:
        checkpoint_to_load(config)


def check_places(config: RunConfig, task_name: str) -> None:
    """Does what `check_run` does, but for the checkpoint."""
    if current_processes().is_main:
        check_run_directory(config.run_dir, task_name)
    single_device_rate(config)


def single_device_rate(config: RunConfig) -> float | None:
    """Returns what a task for several devices compares its speed with; `None` for nothing.

    Only process 0 logs, and needs it.
    """
    baseline = getattr(config, "efficiency_baseline", None)
    if baseline is None or not current_processes().is_main:
        return None
    from ksim.training.telemetry import read_single_device_rate

    return read_single_device_rate(Path(baseline))
