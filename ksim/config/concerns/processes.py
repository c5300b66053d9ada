"""Options by which the processes of a run find each other, and of their waiting."""

from dataclasses import dataclass

from ksim.config.config import Config
from ksim.config.option import ConfigError, option


@dataclass
class ProcessesConfig(Config):
    """Several processes."""

    coordinator_address: str | None = option(
        None,
        help="Address on which process 0 listens for the others, host:port; null takes it from"
        " python -m ksim.launch, Open MPI, Slurm or KSIM_COORDINATOR_ADDRESS, if one of them"
        " started the process, and else there is one process.",
    )
    coordinator_bind_address: str | None = option(
        None,
        help="Address of process 0's own network interface, as host, if it differs from the"
        " one in coordinator_address; null binds that one, and never all of them.",
    )
    num_processes: int | None = option(
        None, help="Processes of the run; null as above.", unit="processes", minimum=1
    )
    process_id: int | None = option(
        None, help="Number of this process, from 0; null as above.", minimum=0
    )
    startup_timeout_seconds: float = option(
        300.0, help="Longest wait of processes for each other at the start.", unit="s", above=0
    )
    heartbeat_timeout_seconds: float = option(
        60.0,
        help="Longest silence of a process before the others take it for lost, and end.",
        unit="s",
        minimum=2,
    )
    collective_timeout_seconds: float = option(
        1800.0,
        help="Longest wait in an iteration for a process that lives but does not go on.",
        unit="s",
        above=0,
    )

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if self.coordinator_address is not None:
            split_address("coordinator_address", self.coordinator_address)
        count, number = self.num_processes, self.process_id
        if count is not None and number is not None:
            check_process_id("process_id", number, "num_processes", count)


def check_process_id(id_name: str, process_id: int, count_name: str, num_processes: int) -> None:
    """Checks that a process is one of the processes.

    Args:
      id_name: the option or the environment variable that gave the number.
      process_id: the number.
      count_name: the option or the environment variable that gave the count.
      num_processes: the count.

    Raises:
      ConfigError: if there is no process of that number.
    """
    if not 0 <= process_id < num_processes:
        raise ConfigError(
            f"{id_name}={process_id}, but with {count_name}={num_processes} the processes are"
            f" numbered from 0 to {num_processes - 1}. Give each of them its own number."
        )


def split_address(name: str, address: str) -> tuple[str, int]:
    """Returns host and port of an address, such as `10.0.0.1:1234` or `[fe80::1]:1234`.

    Raises:
      ConfigError: if it is not such an address; the message calls it `name`.
    """
    host, colon, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 2**16
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not is_port:
        raise ConfigError(
            f"{name}={address}: expected host:port, with a port from 1 to 65535."
            f" Write {name}={host or '10.0.0.1'}:{port if is_port else 1234}"
        )
    return host, int(port)
