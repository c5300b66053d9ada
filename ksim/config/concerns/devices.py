"""Which devices a run uses, and when they agree."""

from dataclasses import dataclass

from ksim.config.config import Config
from ksim.config.option import ConfigError, option


@dataclass
class DevicesConfig(Config):
    """Devices."""

    num_devices: int | None = option(
        None,
        help="Local devices to use, of each process; null is all that JAX sees. On a CPU this makes"
        " that many simulated devices, unless XLA_FLAGS says otherwise.",
        unit="devices",
        minimum=1,
    )
    pmap_axis_name: str = option(
        "device", help="Name of the device axis, for collectives such as jax.lax.pmean."
    )
    grad_sync_period: int = option(
        1,
        help="Average gradients over devices on every Nth update, and on the last of an"
        " iteration; above 1 a synchronising update averages parameters and optimizer state too.",
        unit="updates",
        minimum=1,
    )

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if not self.pmap_axis_name:
            raise ConfigError("pmap_axis_name is empty. Write pmap_axis_name=device.")


def check_divides(what: str, name: str, number: int, num_devices: int) -> None:
    """Checks that a number of environments splits evenly over devices.

    Args:
      what: says what the number is, as in "Number of environments".
      name: the option that sets it.
      number: how many.
      num_devices: how many devices.

    Raises:
      ConfigError: if it does not split; the message says what to write instead.
    """
    if number % num_devices:
        above = -(-number // num_devices) * num_devices
        raise ConfigError(
            f"{what} ({number}) must be divisible by number of devices ({num_devices})."
            f" Write {name}={above}, or choose another num_devices."
        )
