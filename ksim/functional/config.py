"""Options of `train_ppo`: its learning, its length and its devices."""

from dataclasses import dataclass

from ksim.config import ConfigError, option
from ksim.config.concerns import NetworkConfig, PolicyUpdateConfig, SplitParametersConfig


@dataclass
class PPOConfig(PolicyUpdateConfig, NetworkConfig):
    """Learning of `train_ppo`."""

    n_steps: int = option(
        128, help="Steps of every environment before each update.", unit="steps", minimum=1
    )
    n_minibatches: int = option(
        4,
        help="Minibatches in an epoch. They share out the n_steps of every environment in pieces"
        " of equal length; with network=gru whole environments.",
        minimum=1,
    )
    n_epochs: int = option(4, help="Passes of an update over its steps.", unit="epochs", minimum=1)
    hidden_sizes: tuple[int, ...] = (64, 64)
    learning_rate: float = 1e-3

    @property
    def has_memory(self) -> bool:
        """True if the network has a memory, so that a rollout cannot be cut into pieces."""
        return self.network == "gru"

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if not self.has_memory and self.n_steps % self.n_minibatches:
            above = -(-self.n_steps // self.n_minibatches) * self.n_minibatches
            raise ConfigError(
                f"n_steps={self.n_steps} cannot be shared out among"
                f" n_minibatches={self.n_minibatches} evenly. Write n_steps={above}, or an"
                f" n_minibatches that divides {self.n_steps}."
            )


@dataclass
class RunnerConfig(SplitParametersConfig):
    """Length and devices of a training by `train_ppo`."""

    total_timesteps: int = option(
        100_000,
        help="Steps of all environments together, rounded down to whole updates.",
        unit="steps",
        minimum=1,
    )
    num_envs: int = option(1, help="Environments on each device.", unit="environments", minimum=1)
    num_devices: int | None = option(
        None,
        help="Local devices to use; null is all that JAX sees.",
        unit="devices",
        minimum=1,
    )
    seed: int = option(
        0, help="Seed of every random number of the run.", minimum=0, maximum=2**31 - 1
    )
    is_progress_shown: bool = option(True, help="Print what the run is doing, and how it goes.")
    is_compilation_cached: bool = option(
        False,
        help="Keep compiled programs, and what auto has measured of this machine, in the user's"
        " cache directory: the next start is faster.",
    )
