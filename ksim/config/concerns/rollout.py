"""Options of rollouts: number of environments, minibatches, length."""

from dataclasses import dataclass

from ksim.config.automatic import Automatic
from ksim.config.config import Config
from ksim.config.option import ConfigError, option, options_of


@dataclass
class RolloutConfig(Config):
    """Environments and rollouts."""

    num_envs: int = option(
        64,
        help="Environments, over all devices; auto measures how many these devices take, and sets"
        " batch_size too.",
        unit="environments",
        minimum=1,
        has_auto=True,
    )
    batch_size: int = option(
        16,
        help="Environments in a minibatch, over all devices; num_envs / batch_size minibatches.",
        unit="environments",
        minimum=1,
    )
    rollout_length_frames: int | None = option(
        None,
        help="Control steps of every environment in an iteration; null takes"
        " rollout_length_seconds.",
        unit="control steps",
        minimum=1,
    )
    rollout_length_seconds: float = option(
        0.5,
        help="Simulated time of every environment in an iteration, unless"
        " rollout_length_frames is given.",
        unit="s",
        above=0,
    )

    is_overlapped: bool = option(
        False,
        help="Act for the next iteration on the host's cores while the devices learn from the last"
        " one: what acts is one update older. In one process; physics is native MuJoCo.",
    )

    @property
    def is_num_envs_auto(self) -> bool:
        """True while the number of environments is still to be chosen."""
        return isinstance(self.num_envs, Automatic)

    @property
    def default_num_batches(self) -> int:
        """Minibatches that the task has by default; `num_envs=auto` keeps their number.

        A class whose own default is auto has those of the nearest base that has a number.
        """
        for config_class in type(self).__mro__:
            if not issubclass(config_class, RolloutConfig):
                continue
            options = options_of(config_class)
            num_envs, batch_size = options["num_envs"].default, options["batch_size"].default
            if not isinstance(num_envs, Automatic):
                assert isinstance(num_envs, int)
                assert isinstance(batch_size, int)
                return max(1, num_envs // batch_size)
        raise AssertionError("RolloutConfig itself has a number")

    @property
    def num_batches(self) -> int:
        """Minibatches in a pass over the environments."""
        return self.num_envs // self.batch_size

    def rollout_length(self, ctrl_dt: float) -> int:
        """Returns the control steps in a rollout, given the length of one in s."""
        if self.rollout_length_frames is not None:
            return self.rollout_length_frames
        return max(1, round(self.rollout_length_seconds / ctrl_dt))

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if self.is_num_envs_auto:
            default = options_of(type(self))["batch_size"].default
            if self.batch_size != default:
                raise ConfigError(
                    f"num_envs=auto sets batch_size too, and batch_size={self.batch_size} is given."
                    f" Leave batch_size out, or write num_envs={4 * self.batch_size}."
                )
            return
        if self.num_envs % self.batch_size:
            num_batches = -(-self.num_envs // self.batch_size)
            raise ConfigError(
                f"Batch size ({self.batch_size}) times number of batches ({num_batches}) must"
                f" equal number of environments ({self.num_envs}). Write"
                f" num_envs={num_batches * self.batch_size}, or a batch_size that divides"
                f" {self.num_envs}, such as batch_size={largest_divisor(self)}."
            )


def largest_divisor(config: RolloutConfig) -> int:
    """Returns the largest divisor of `num_envs` that is at most `batch_size`."""
    sizes = range(min(config.batch_size, config.num_envs), 0, -1)
    return next(size for size in sizes if config.num_envs % size == 0)
