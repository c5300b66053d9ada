"""The options of every task."""

from dataclasses import dataclass
from typing import ClassVar

from ksim.config import ConfigError
from ksim.config.concerns import (
    NetworkConfig,
    PhysicsConfig,
    RolloutConfig,
    WatchedRunConfig,
)


@dataclass
class RLConfig(WatchedRunConfig, RolloutConfig, PhysicsConfig, NetworkConfig):
    """Options of every task."""

    learning_rates: ClassVar[tuple[str, ...]] = ()
    """Options that are step sizes: with `scaling=weak` they grow with the root of the number of
    devices."""

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        for name, value, other in (("engine", "mjx", "mujoco"), ("mjx_impl", "warp", "jax")):
            if self.is_overlapped and getattr(self, name) == value:
                raise ConfigError(
                    f"is_overlapped=true acts on the host's cores, and {name}={value} simulates on"
                    f" the devices. Write {name}={other}, or is_overlapped=false."
                )
