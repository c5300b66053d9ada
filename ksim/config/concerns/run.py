"""Options of a run: its length, its directory, its checkpoints and evaluations."""

from dataclasses import dataclass
from typing import ClassVar

from ksim.config.config import Config
from ksim.config.option import ConfigError, option, options_of

RUN_MODES = ("train", "verify", "evaluate", "view", "render")


@dataclass
class RunConfig(Config):
    """The run."""

    efficiency_baseline: ClassVar[str | None] = None
    """A run to compare the speed with; an option of tasks for several devices."""

    run_mode: str = option(
        "train",
        help="train; verify what would run, by a trial; evaluate a checkpoint without learning;"
        " view its policy in a window; or render it as a film.",
        choices=RUN_MODES,
    )
    max_steps: int | None = option(
        None,
        help="Iterations (rollout and update) after which the run ends; null runs until stopped.",
        unit="iterations",
        minimum=1,
    )
    total_timesteps: int | None = option(
        None,
        help="Steps of all environments together after which the run ends, in place of max_steps,"
        " which follows: rounded down to whole iterations.",
        unit="steps",
        minimum=1,
    )
    has_metrics_csv: bool = option(
        False, help="Write metrics.csv too, one row for each iteration, beside metrics.jsonl."
    )
    seed: int = option(
        0, help="Seed of every random number of the run.", minimum=0, maximum=2**31 - 1
    )
    run_dir: str | None = option(
        None,
        help="Where the run keeps its files; null is the next runs/<task>/run_NNN. A directory"
        " that holds checkpoints is continued.",
    )
    load_from_ckpt_path: str | None = option(
        None,
        help="Continue from this checkpoint, folder of checkpoints or run directory; with /best"
        " behind it, from the one that was evaluated best. A run_dir that has checkpoints of its"
        " own goes on from those, unless this path lies in it.",
    )
    save_every_n_steps: int | None = option(
        100, help="Save a checkpoint every so often; null does not.", unit="iterations", minimum=1
    )
    save_every_n_seconds: float | None = option(
        600.0, help="Save a checkpoint every so often; null does not.", unit="s", above=0
    )
    keep_checkpoints: int = option(
        3,
        help="How many of the newest checkpoints are kept, beside the one that was evaluated best.",
        unit="checkpoints",
        minimum=1,
    )
    is_compilation_cached: bool = option(
        True,
        help="Keep compiled programs, and what auto has measured of this machine, in the user's"
        " cache directory: the next start is faster.",
    )

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        for name in ("run_dir", "load_from_ckpt_path"):
            value = getattr(self, name)
            if value is not None and value.strip().lower() in ("", "none"):
                raise ConfigError(f'{name}="{value}" is no path. For none write {name}=null')
        default = options_of(type(self))["max_steps"].default
        if self.total_timesteps is not None and self.max_steps not in (None, default):
            raise ConfigError(
                f"total_timesteps={self.total_timesteps} and max_steps={self.max_steps} both say"
                " how long the run is. Leave one of them out; where a file gives it, write"
                " total_timesteps=null or max_steps=null behind the file."
            )

    @property
    def has_end(self) -> bool:
        """True if the length of the run is known beforehand."""
        return self.max_steps is not None or self.total_timesteps is not None


@dataclass
class EvaluationConfig(Config):
    """Evaluation with the deterministic policy."""

    eval_every_n_steps: int | None = option(
        None,
        help="Evaluate every so often; null does so at the end only.",
        unit="iterations",
        minimum=1,
    )
    stop_at_return: float | None = option(
        None,
        help="End the run once the episodes of an iteration, and then those of an evaluation,"
        " return at least this on average; null does not.",
    )
    eval_length_seconds: float | None = option(
        None,
        help="Simulated time of an evaluation: every environment's first episode, for so long at"
        " most; null is 10 s, or the time of max_steps rollouts if that is shorter.",
        unit="s",
        above=0,
    )


@dataclass
class TrainingConfig(RunConfig, EvaluationConfig):
    """Options of every run: its own and those of its evaluations."""
