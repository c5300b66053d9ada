"""Where a run goes on: the checkpoint that it continues from."""

from pathlib import Path

from ksim.config.concerns import RunConfig
from ksim.training.checkpoint import find_checkpoint, list_checkpoints
from ksim.training.run_directory import RunDirectory, user_path


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
        is_trained = config.run_mode in ("train", "verify")
        is_own_meant = named is None or (is_trained and not own.holds(named))
        if is_own_meant and list_checkpoints(own.checkpoints_path):
            return find_checkpoint(own.path)
    return None if named is None else find_checkpoint(named)


def start_text(config: RunConfig, start_from: Path | None) -> str:
    """Says where a run starts, which is not always what `load_from_ckpt_path` names."""
    if start_from is None:
        return "begins"
    source = config.load_from_ckpt_path
    if source is None or RunDirectory(user_path(source)).holds(start_from):
        return f"continues {start_from}"
    return f"continues {start_from}, its own, and not load_from_ckpt_path={source}"
