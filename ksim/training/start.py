"""Start of a run: the checkpoint that it continues is found, verified and read once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksim.config import ConfigError
from ksim.config.concerns import RunConfig
from ksim.parallel.processes import ProcessGroup, check_agreement, current_processes
from ksim.storage.checkpoint import SavedCheckpoint
from ksim.storage.checkpoint_folder import find_checkpoint, list_checkpoints
from ksim.storage.run_directory import RunDirectory, check_run_directory, user_path
from ksim.training.baseline import single_device_rate

if TYPE_CHECKING:  # an option that cannot be is said before all that is imported
    from ksim.training.program import Program
    from ksim.training.train_state import TrainState


@dataclasses.dataclass(frozen=True)
class Start:
    """Start of a run: anew, unless there is a checkpoint to continue.

    Attributes:
      checkpoint: what it continues, verified; in runs that only look at a policy, that policy's.
      train_state: what it has learned already, to begin with in new environments.
    """

    checkpoint: SavedCheckpoint | None = None
    train_state: TrainState | None = None

    @classmethod
    def of(cls, config: RunConfig) -> Start:
        """Finds the checkpoint that a run continues: its own newest one, or the one named.

        A run directory that was named and has checkpoints goes before `load_from_ckpt_path`, so
        that the same command goes on when it is given again. Not so if that lies in this very
        directory, or if there is nothing to train: then it means what it says.

        Raises:
          ConfigError: if the user named something that holds no intact checkpoint, or none and
            there is nothing to train.
        """
        start = cls(_find(config))
        if not _is_trained(config):
            start.require_checkpoint(config)
        return start

    @property
    def path(self) -> Path | None:
        """Path of the checkpoint; `None` if there is none."""
        return None if self.checkpoint is None else self.checkpoint.path

    @property
    def step(self) -> int:
        """Number of finished iterations."""
        return 0 if self.checkpoint is None else self.checkpoint.step

    def require_checkpoint(self, config: RunConfig) -> SavedCheckpoint:
        """Returns the checkpoint of the policy to look at.

        Raises:
          ConfigError: if there is none.
        """
        if self.checkpoint is None:
            raise ConfigError(
                f"run_mode={config.run_mode} needs a checkpoint."
                " Write load_from_ckpt_path=runs/<task>/run_000."
            )
        return self.checkpoint

    def check(self, program: Program, processes: ProcessGroup) -> None:
        """Checks, before anything is compiled, that all processes can continue from one step.

        Raises:
          ConfigError: if the checkpoint does not fit the program, or processes found others.
        """
        if self.checkpoint is not None:
            self.checkpoint.check_fits(*self._target(program))
        step = "none" if self.checkpoint is None else self.step
        check_agreement(processes, {"step of the checkpoint to continue": step})

    def parts(self, program: Program, seed: int) -> dict[str, Any]:
        """Returns the parts of a run's first state, for `RunState.place`.

        Args:
          program: the program.
          seed: of a run that begins.

        Raises:
          ConfigError: if a checkpoint does not fit, or has vanished.
        """
        if self.checkpoint is not None:
            parts: dict[str, Any] = self.checkpoint.restore(*self._target(program))
            return parts
        train_state = self.train_state
        if train_state is None:
            train_state = program.initial_train_state(seed)
        return {
            "train": train_state,
            "environments": program.new_environments(seed),
            "memory": program.new_memory(),
        }

    def load_train_state(self, program: Program, config: RunConfig) -> tuple[TrainState, Path]:
        """Returns the train state of the checkpoint to look at, and its path.

        The environments of the checkpoint are left where they are: their number may be another.

        Raises:
          ConfigError: if there is no checkpoint, or it does not fit.
        """
        checkpoint = self.require_checkpoint(config)
        check_agreement(current_processes(), {"step of the checkpoint to load": checkpoint.step})
        target = {"train": program.train_state_shapes}
        return checkpoint.restore(target, part="train/")["train"], checkpoint.path

    def text(self, config: RunConfig) -> str:
        """Describes the start of a run, which is not always the one in `load_from_ckpt_path`."""
        if self.checkpoint is None:
            return "begins"
        source = config.load_from_ckpt_path
        if source is None or RunDirectory(user_path(source)).holds(self.checkpoint.path):
            return f"continues {self.path}"
        return f"continues {self.path}, its own, and not load_from_ckpt_path={source}"

    def metadata(self, config: RunConfig, task_name: str, num_envs: int) -> dict[str, Any]:
        """Returns the metadata of a run's checkpoints; the seed is that of its beginning."""
        seed = self._before.get("seed", config.seed)
        return {"task": task_name, "num_envs": num_envs, "seed": seed}

    def differences(self, config: RunConfig, task_name: str) -> list[str]:
        """Warns of options that differ from those of the continued checkpoint."""
        before, found = self._before, []
        seed = before.get("seed", config.seed)
        if config.seed != seed:
            found.append(
                f"seed={config.seed} changes evaluations only: what the run draws goes on from its"
                f" checkpoint, which began with seed={seed}. For another run write another"
                " run_dir, and no checkpoint."
            )
        if "task" in before and _kind(before["task"]) != _kind(task_name):
            found.append(
                f"The checkpoint is of the task {before['task']}, and this is {task_name}: it"
                " fits, but its rewards and environments were others."
            )
        return found

    @property
    def _before(self) -> dict[str, Any]:
        return {} if self.checkpoint is None else self.checkpoint.metadata

    def _target(self, program: Program) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Returns the shapes and dtypes that a run reads of its checkpoint, and names of parts.

        What acted in a run that overlapped is of no use to one that does not; and a run that did
        not overlap is continued by what learned last. A memory is never left behind.
        """
        from ksim.training.run_state import RunState

        parts = RunState.shapes(program)
        if self.checkpoint is not None and not self.checkpoint.has_part("acting/"):
            parts.pop("acting", None)
        return parts, tuple(f"{name}/" for name in {*parts, "memory"})


def check_places(config: RunConfig, task_name: str) -> None:
    """Checks the run directory and the baseline of a run; leaves nothing behind.

    Raises:
      ConfigError: if the run directory cannot be written, or there is nothing to compare the speed
        with.
    """
    if current_processes().is_main:
        check_run_directory(config.run_dir, task_name)
    single_device_rate(config)


def _find(config: RunConfig) -> SavedCheckpoint | None:
    source = config.load_from_ckpt_path
    named = None if source is None else user_path(source)
    if config.run_dir is not None:
        own = RunDirectory(user_path(config.run_dir))
        is_own_meant = named is None or (_is_trained(config) and not own.holds(named))
        if is_own_meant and list_checkpoints(own.checkpoints_path):
            return find_checkpoint(own.path)
    return None if named is None else find_checkpoint(named)


def _is_trained(config: RunConfig) -> bool:
    """Returns whether a run learns or tries to; others look at a policy."""
    return config.run_mode in ("train", "verify")


def _kind(task_name: str) -> list[str]:
    """Returns the words of a task's name, the same for one device and for several."""
    return [word for word in task_name.split("_") if word != "distributed"]
