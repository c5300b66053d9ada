"""Measurements of a finished run."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from ksim.config import ConfigError
from ksim.storage.run_directory import RunDirectory
from ksim.training.workload import Workload

NUM_UNMEASURED = 2
"""Iterations that are not counted: the first ones fill caches."""
LEAST_ITERATIONS = 5


@dataclass(frozen=True)
class Measurement:
    """Measured duration of an iteration of a run.

    Attributes:
      name: name of the run, for messages.
      workload: the work of an iteration.
      rollout_seconds: time until all devices had acted, s; the median over iterations.
      update_seconds: time from then until they had learned, s; the median over iterations.
    """

    name: str
    workload: Workload
    rollout_seconds: float
    update_seconds: float

    @property
    def seconds(self) -> float:
        """Duration of an iteration, s."""
        return self.rollout_seconds + self.update_seconds


def read_measurement(run: Path) -> Measurement:
    """Returns the measurement of a finished run.

    Args:
      run: its directory.

    Raises:
      ConfigError: if it is not a run of this version of ksim, or it is too short.
    """
    workload = Workload.load(run)
    path = RunDirectory(run).metrics_path
    names = ("time/rollout_seconds", "time/update_seconds")
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        times = [tuple(float(row[name]) for name in names) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} does not have {' and '.join(names)} in every line: {error}."
        ) from None
    if len(times) < LEAST_ITERATIONS:
        raise ConfigError(
            f"{run}: {len(times)} iteration(s) are too few to tell how long one takes."
            f" Write max_steps={LEAST_ITERATIONS} or more for a run to be measured."
        )
    rollout, update = zip(*times[NUM_UNMEASURED:], strict=True)
    return Measurement(str(run), workload, statistics.median(rollout), statistics.median(update))
