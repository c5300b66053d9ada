"""Reads the speed of one device alone, to compare a run on several with."""

import json
import statistics
from pathlib import Path

from ksim.config import ConfigError
from ksim.config.concerns import RunConfig
from ksim.parallel.processes import current_processes


def single_device_rate(config: RunConfig) -> float | None:
    """Returns the environment steps per second of the baseline run; `None` without one.

    Only process 0 logs, and needs it.

    Raises:
      ConfigError: as `read_single_device_rate` does.
    """
    if config.efficiency_baseline is None or not current_processes().is_main:
        return None
    return read_single_device_rate(Path(config.efficiency_baseline))


def read_single_device_rate(path: Path) -> float:
    """Returns the environment steps per second of a finished run on one device.

    Args:
      path: the run's directory, or its `metrics.jsonl`.

    Returns:
      The median over all iterations but the first.

    Raises:
      ConfigError: if there is no such run, it is too short, or it had several devices.
    """
    file = path / "metrics.jsonl" if path.is_dir() else path
    advice = "Name a run with num_devices=1 and at least 2 iterations."
    if not file.is_file():
        raise ConfigError(f"efficiency_baseline={path}: no metrics.jsonl there. {advice}")
    names = ("throughput/env_steps_per_second", "throughput/env_steps_per_second_per_device")
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        rates = [(float(line[names[0]]), float(line[names[1]])) for line in lines[1:]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"efficiency_baseline={path}: {file.name} has no {names[1]} in every line ({error});"
            f" was it written by an older ksim? {advice}"
        ) from None
    if not rates:
        raise ConfigError(f"efficiency_baseline={path}: {len(lines)} iteration(s). {advice}")
    num_devices = round(rates[-1][0] / rates[-1][1])
    if num_devices != 1:
        raise ConfigError(f"efficiency_baseline={path}: a run on {num_devices} devices. {advice}")
    return statistics.median(rate for rate, _ in rates)
