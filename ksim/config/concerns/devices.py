"""Options of the devices of a run, and of averages over them."""

from dataclasses import dataclass

from ksim.config.config import Config
from ksim.config.option import ConfigError, option

PARTITIONERS = ("auto", "pmap", "shard_map")
SYNC_MODES = ("local_sgd", "accumulate")
SCALINGS = ("strong", "weak")
COMPRESSIONS = ("none", "float16", "int8")


@dataclass(kw_only=True)  # a config that adds options keeps its own as the positional ones
class SplitParametersConfig(Config):
    """Devices."""

    fsdp_devices: int = option(
        1,
        help="Devices that share one copy of the large parameters and their optimizer state (FSDP);"
        " 1 gives every device its own. Divides the number of devices.",
        unit="devices",
        minimum=1,
    )
    fsdp_min_size_mbytes: float = option(
        4.0,
        help="Least size of a parameter that fsdp_devices splits; smaller ones are replicated.",
        unit="MB of 2^20 bytes",
        minimum=0,
    )


@dataclass
class DevicesConfig(SplitParametersConfig):
    """Devices."""

    num_devices: int | None = option(
        None,
        help="Local devices to use, of each process; null is all that JAX sees. On a CPU this makes"
        " that many simulated devices, unless XLA_FLAGS says otherwise.",
        unit="devices",
        minimum=1,
    )
    partitioner: str = option(
        "auto",
        help="Way to run the program on several devices: pmap, in one process; shard_map, in any"
        " number of processes and with fsdp_devices; auto takes pmap where it can.",
        choices=PARTITIONERS,
    )
    pmap_axis_name: str = option(
        "device", help="Name of the device axis, for collectives such as jax.lax.pmean."
    )
    grad_sync_period: int = option(
        1,
        help="Average gradients over devices on every Nth update, and on the last of an"
        " iteration; sync_mode says what happens in between.",
        unit="updates",
        minimum=1,
    )
    sync_mode: str = option(
        "local_sgd",
        help="With grad_sync_period above 1: local_sgd lets every device follow its own gradient"
        " and then averages parameters and optimizer state too; accumulate sums gradients and"
        " takes one step with their mean.",
        choices=SYNC_MODES,
    )
    grad_compression: str = option(
        "none",
        help="Type in which gradients travel between devices; what rounding takes from a"
        " gradient is added to the next one. none keeps their own type.",
        choices=COMPRESSIONS,
    )
    scaling: str = option(
        "strong",
        help="Meaning of num_envs and batch_size: strong, environments over all devices; weak,"
        " those of one device: they grow with the devices, and learning_rate with the root of"
        " their number.",
        choices=SCALINGS,
    )
    efficiency_baseline: str | None = option(
        None,
        help="A run on one device of this kind, with as many environments as one device has here:"
        " its directory, or metrics.jsonl. throughput/parallel_efficiency compares with its speed.",
    )

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if not self.pmap_axis_name:
            raise ConfigError("pmap_axis_name is empty. Write pmap_axis_name=device.")
        if self.pmap_axis_name == "fsdp":
            raise ConfigError(
                "pmap_axis_name=fsdp: that is the axis over the devices that share parameters."
                " Write pmap_axis_name=device."
            )
        if self.fsdp_devices > 1 and self.partitioner == "pmap":
            raise ConfigError(
                f"fsdp_devices={self.fsdp_devices} needs partitioner=shard_map, since pmap gives"
                " every device all parameters. Write partitioner=shard_map, or fsdp_devices=1."
            )


def check_fsdp_divides(fsdp_devices: int, num_devices: int, name: str = "fsdp_devices") -> None:
    """Checks that devices split evenly into groups that share parameters.

    Args:
      fsdp_devices: devices in a group.
      num_devices: devices in all.
      name: the option or argument that sets the size of a group.

    Raises:
      ConfigError: if they do not; it names the sizes that are possible.
    """
    if fsdp_devices < 1 or num_devices % fsdp_devices:
        sizes = [size for size in range(1, num_devices + 1) if num_devices % size == 0]
        nearest = max(size for size in sizes if size <= max(fsdp_devices, 1))
        raise ConfigError(
            f"{name}={fsdp_devices} must divide the number of devices ({num_devices})."
            f" Write {name}={nearest}; possible are {', '.join(map(str, sizes))}."
        )


def check_divides(what: str, name: str, number: int, num_devices: int) -> None:
    """Checks that a number of environments splits evenly over devices.

    Args:
      what: the number in words, as "Number of environments".
      name: the option that sets it.
      number: the number of environments.
      num_devices: the number of devices.

    Raises:
      ConfigError: if it does not split; the message says what to write instead.
    """
    if number % num_devices:
        above = -(-number // num_devices) * num_devices
        raise ConfigError(
            f"{what} ({number}) must be divisible by number of devices ({num_devices})."
            f" Write {name}={above}, or choose another num_devices."
        )
