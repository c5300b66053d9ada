"""Where a run goes on: the checkpoint that it continues from."""

from pathlib import Path
from typing import Any

from ksim.config import ConfigError
from ksim.config.concerns import RunConfig
from ksim.storage.checkpoint import read_metadata
from ksim.storage.checkpoint_folder import find_checkpoint, list_checkpoints
from ksim.storage.run_directory import RunDirectory, user_path


def checkpoint_to_continue(config: RunConfig) -> Path | None:
    """Returns the checkpoint that a run continues from: its own newest, or the one named.

    A run directory that was named and has checkpoints goes before `load_from_ckpt_path`, so that
    the same command goes on when it is given again. Not so if that lies in this very directory, or
    if there is nothing to train: then it means what it says.

    Raises:
      ConfigError: if the user named something that holds no intact checkpoint.
    """
    source = config.load_from_ckpt_path
    named = None if source is None else user_path(source)
    if config.run_dir is not None:
        own = RunDirectory(user_path(config.run_dir))
        is_own_meant = named is None or (is_trained(config) and not own.holds(named))
        if is_own_meant and list_checkpoints(own.checkpoints_path):
            return find_checkpoint(own.path)
    return None if named is None else find_checkpoint(named)


def checkpoint_to_load(config: RunConfig) -> Path:
    """Returns the checkpoint whose policy is looked at.

    Raises:
      ConfigError: if the user named none, or something that holds no intact one.
    """
    path = checkpoint_to_continue(config)
    if path is None:
        raise ConfigError(
            f"run_mode={config.run_mode} needs a checkpoint."
            " Write load_from_ckpt_path=runs/<task>/run_000."
        )
    return path


def is_trained(config: RunConfig) -> bool:
    """Whether a run learns, or tries whether it can; others look at a policy."""
    return config.run_mode in ("train", "verify")


def start_text(config: RunConfig, start_from: Path | None) -> str:
    """Says where a run starts, which is not always what `load_from_ckpt_path` names."""
    if start_from is None:
        return "begins"
    source = config.load_from_ckpt_path
    if source is None or RunDirectory(user_path(source)).holds(start_from):
        return f"continues {start_from}"
    return f"continues {start_from}, its own, and not load_from_ckpt_path={source}"


def run_metadata(
    config: RunConfig, task_name: str, num_envs: int, start_from: Path | None
) -> dict[str, Any]:
    """Returns what is stored with every checkpoint of a run; the seed is that of its beginning."""
    before = {} if start_from is None else read_metadata(start_from)
    return {"task": task_name, "num_envs": num_envs, "seed": before.get("seed", config.seed)}


def differences(config: RunConfig, metadata: dict[str, Any], start_from: Path | None) -> list[str]:
    """Says what a run does otherwise than the checkpoint that it continues, though it fits.

    Args:
      config: the run's config.
      metadata: what `run_metadata` gives.
      start_from: the checkpoint; `None` if the run begins.

    Returns:
      One sentence for each.
    """
    if start_from is None:
        return []
    before, found = read_metadata(start_from), []
    if config.seed != metadata["seed"]:
        found.append(
            f"seed={config.seed} changes evaluations only: what the run draws goes on from its"
            f" checkpoint, which began with seed={metadata['seed']}. For another run write another"
            " run_dir, and no checkpoint."
        )
    if "task" in before and _kind(before["task"]) != _kind(metadata["task"]):
        found.append(
            f"The checkpoint is of the task {before['task']}, and this is {metadata['task']}: it"
            " fits, but its rewards and environments were others."
        )
    return found


def _kind(task_name: str) -> list[str]:
    """The words of a task's name; a task for several devices is of the kind of that for one."""
    return [word for word in task_name.split("_") if word != "distributed"]
