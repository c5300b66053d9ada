"""Saves the checkpoints of a run when they are due, and prunes old ones."""

import dataclasses
import math
import time
from typing import Any

from ksim.parallel.processes import ProcessGroup, report_to_launcher
from ksim.storage.checkpoint import save_checkpoint
from ksim.storage.checkpoint_folder import EVALUATION_RETURN, best_return, prune_checkpoints
from ksim.storage.run_directory import RunDirectory
from ksim.training.program import Program
from ksim.training.run_state import RunState
from ksim.training.start import Start


@dataclasses.dataclass(frozen=True)
class SaveSettings:
    """Times at which a run is saved.

    Attributes:
      every_n_steps: iterations from one checkpoint to the next; `None` for none.
      every_n_seconds: seconds from one checkpoint to the next; `None` for none.
      num_kept: how many of the newest are kept, beside the best one.
      metadata: what is stored with every checkpoint; JSON data.
    """

    every_n_steps: int | None = None
    every_n_seconds: float | None = None
    num_kept: int = 1
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


class Saver:
    """Saves a run periodically, at its end, and after the best evaluation so far.

    Attributes:
      best_return: the highest mean return of an evaluation of which a checkpoint is kept; -inf if
        there is none.
    """

    def __init__(
        self,
        program: Program,
        settings: SaveSettings,
        directory: RunDirectory | None,
        processes: ProcessGroup,
    ) -> None:
        """Prepares to save; without a directory nothing is saved."""
        self._program = program
        self._settings = settings
        self._directory = directory
        self._processes = processes
        self.best_return = -math.inf
        self._saved_iteration = 0
        self._last_save_time = time.monotonic()
        self._evaluated_iteration: int | None = None
        self._evaluation_return = -math.inf

    def begin(self, start: Start, iteration: int) -> None:
        """Notes the start of the run, and the best return among its checkpoints."""
        self._saved_iteration = iteration
        kept = -math.inf
        if self._directory is not None and self._processes.is_main:
            kept = best_return(self._directory.checkpoints_path, start.checkpoint)
        self.best_return = self._processes.from_main("the best evaluation", kept)

    def note_evaluation(self, iteration: int, mean_return: float) -> None:
        """Notes the mean return of an evaluation."""
        self._evaluated_iteration = iteration
        self._evaluation_return = mean_return

    def is_time(self) -> bool:
        """Returns whether this process's clock says that a checkpoint is due."""
        seconds = self._settings.every_n_seconds
        return seconds is not None and time.monotonic() - self._last_save_time >= seconds

    def save_if_due(self, state: RunState, is_time: bool) -> None:
        """Saves if `is_time`, the iteration is one to be saved, or the evaluation was the best."""
        is_evaluated = self._evaluated_iteration == state.iteration
        is_best = is_evaluated and self._evaluation_return > self.best_return
        if is_best or is_time or is_due(self._settings.every_n_steps, state.iteration):
            self._save(state)

    def save_end(self, state: RunState) -> None:
        """Saves the end of the run, unless it is saved already or is the start."""
        if self._saved_iteration != state.iteration:
            self._save(state)

    def _save(self, state: RunState) -> None:
        """Saves all parts in the global layout, then removes old checkpoints.

        All processes give theirs; process 0 writes.
        """
        if self._directory is None:
            return
        whole = state.gather(self._program)
        metadata = self._settings.metadata
        if self._evaluated_iteration == state.iteration:
            metadata = metadata | {EVALUATION_RETURN: self._evaluation_return}
            self.best_return = max(self.best_return, self._evaluation_return)
        if self._processes.is_main:
            directory = self._directory.checkpoints_path
            save_checkpoint(directory, state.iteration, whole, metadata)
            prune_checkpoints(directory, self._settings.num_kept)
            report_to_launcher(str(self._directory.path), state.iteration)
        self._saved_iteration = state.iteration
        self._last_save_time = time.monotonic()


def is_due(period: int | None, iteration: int) -> bool:
    """Returns whether an event with a period in iterations is due now."""
    return period is not None and iteration % period == 0
