"""Finds the place of a process among those of a run, by the options or by its launcher.

It is detected, never guessed: the launcher gives all three of address, count and number, or it is
an error. Where several launchers have left their variables the innermost counts (`mpirun` inside a
Slurm job): ksim's own, then Open MPI's, then Slurm's.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ksim.config import ConfigError
from ksim.config.concerns import ProcessesConfig, check_process_id, split_address
from ksim.config.launched import ADDRESS_VARIABLE, COUNT_VARIABLE, ID_VARIABLE

# Set by Kubernetes in every pod of an indexed job, those of a JobSet among them.
_POD_INDEX = "JOB_COMPLETION_INDEX"

# Ports that no service is registered for and that most systems use last.
_FIRST_PORT, _NUM_PORTS = 61440, 4096

Environment = Mapping[str, str]


@dataclass(frozen=True)
class ClusterPlace:
    """Place of a process among those of a run.

    Attributes:
      coordinator_address: address on which process 0 listens, `host:port`.
      num_processes: number of processes, at least 2.
      process_id: number of this one, from 0.
      source: origin of these values, in words.
    """

    coordinator_address: str
    num_processes: int
    process_id: int
    source: str


def find_place(options: ProcessesConfig, environment: Environment) -> ClusterPlace | None:
    """Returns the place of this process; `None` if it is the only one.

    Args:
      options: the user's options. Each that is given must agree with the detected value, except the
        address, which replaces the detected one.
      environment: the environment variables of the process.

    Raises:
      ConfigError: if something is missing or contradicts something else.
    """
    given = {
        "coordinator_address": options.coordinator_address,
        "num_processes": options.num_processes,
        "process_id": options.process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if not missing:
        place = ClusterPlace(**given, source="options")  # type: ignore[arg-type]
        return place if place.num_processes > 1 else None
    detected = _detect(environment, options.coordinator_address)
    if detected is None:
        if len(missing) == len(given) or options.num_processes == 1:
            return None
        raise ConfigError(
            f"{' and '.join(name for name in given if name not in missing)} given, but"
            f" {' and '.join(missing)} not, and neither python -m ksim.launch, Open MPI nor Slurm"
            " started this process. Write, in process 0 of 2: coordinator_address=10.0.0.1:1234"
            " num_processes=2 process_id=0"
        )
    for name in ("num_processes", "process_id"):
        if given[name] is not None and given[name] != getattr(detected, name):
            raise ConfigError(
                f"{name}={given[name]}, but {detected.source} says {getattr(detected, name)}."
                f" Leave {name} out."
            )
    return detected if detected.num_processes > 1 else None


def _detect(environment: Environment, address: str | None) -> ClusterPlace | None:
    for detect in (_from_ksim, _from_open_mpi, _from_slurm):
        place = detect(environment, address)
        if place is not None:
            return place if address is None else replace(place, coordinator_address=address)
    return None


def _from_ksim(environment: Environment, address: str | None) -> ClusterPlace | None:
    """Reads variables of `python -m ksim.launch`, or set by hand, as in a Kubernetes manifest."""
    names = [ADDRESS_VARIABLE, COUNT_VARIABLE, ID_VARIABLE]
    is_pod = ID_VARIABLE not in environment and _POD_INDEX in environment
    if is_pod:
        names[2] = _POD_INDEX
    if not {ADDRESS_VARIABLE, COUNT_VARIABLE, ID_VARIABLE} & environment.keys():
        return None
    source = "the environment (KSIM_...)"
    found = _require(names, environment, source)
    split_address(ADDRESS_VARIABLE, found[ADDRESS_VARIABLE])
    count, number = _count_and_id(found, COUNT_VARIABLE, names[2])
    return ClusterPlace(found[ADDRESS_VARIABLE], count, number, source)


def _from_open_mpi(environment: Environment, address: str | None) -> ClusterPlace | None:
    names = [f"OMPI_COMM_WORLD_{name}" for name in ("SIZE", "RANK", "LOCAL_SIZE")]
    if not set(names[:2]) & environment.keys():
        return None
    found = _require(names, environment, "Open MPI")
    count, number = _count_and_id(found, names[0], names[1])
    if count > 1 and address is None:
        address = _open_mpi_address(environment, is_one_host=found[names[2]] == found[names[0]])
    return ClusterPlace(address or "", count, number, "Open MPI")


def _open_mpi_address(environment: Environment, is_one_host: bool) -> str:
    """Returns an address on the host of `mpirun`, with a port of this job."""
    uri = environment.get("OMPI_MCA_orte_hnp_uri", "")  # Open MPI 4
    job = uri.split(";")[0] or environment.get("PMIX_NAMESPACE", "").split("@")[0]
    if not job:
        raise ConfigError(
            "Open MPI started this process, but neither OMPI_MCA_orte_hnp_uri nor PMIX_NAMESPACE"
            " says which job it is. Write coordinator_address=<host of rank 0>:1234"
        )
    port = _port_of(f"Open MPI {job}")
    if is_one_host:
        return f"127.0.0.1:{port}"
    host = re.search(r"tcp://([^,:]+)|tcp6://\[([^\],]+)", uri)
    if host is None:
        raise ConfigError(
            "Open MPI started this process on several hosts, and its variables do not say how to"
            " reach that of rank 0. Write coordinator_address=<host of rank 0>:1234"
        )
    return f"{host[1]}:{port}" if host[1] else f"[{host[2]}]:{port}"


def _from_slurm(environment: Environment, address: str | None) -> ClusterPlace | None:
    """Reads variables of a task of `srun`; a batch script or `salloc` alone is one process."""
    if "SLURM_STEP_ID" not in environment or "SLURM_PROCID" not in environment:
        return None
    names = ["SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"]
    names.append("SLURM_STEP_NODELIST")
    found = _require(names, environment, "Slurm")
    count, number = _count_and_id(found, "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    hosts = found["SLURM_STEP_NODELIST"]
    port = _port_of(f"Slurm {found['SLURM_JOB_ID']}.{found['SLURM_STEP_ID']}")
    is_one_host = re.fullmatch(r"[^,\[\]]+|[^,\[\]]+\[[^,\-\]]+\]", hosts) is not None
    host = "127.0.0.1" if is_one_host else _first_host(hosts)
    return ClusterPlace(f"{host}:{port}", count, number, "Slurm")


def _first_host(node_list: str) -> str:
    """Returns the first of `node7,node9`, `node[001-015],login1` or `rack[1,3-4]-node2`."""
    match = re.match(r"([^,\[]*)(?:\[([^,\-\]]+)[^\]]*\]([^,\[]*))?", node_list)
    assert match is not None
    host = "".join(part or "" for part in match.groups())
    if not host or "[" in node_list[match.end() : match.end() + 1]:
        raise ConfigError(
            f"SLURM_STEP_NODELIST={node_list}: cannot tell the first host of it."
            " Write coordinator_address=<host of task 0>:1234"
        )
    return host


def _require(names: list[str], environment: Environment, source: str) -> dict[str, str]:
    missing = [name for name in names if not environment.get(name)]
    if missing:
        found = [f"{name}={environment[name]}" for name in names if environment.get(name)]
        raise ConfigError(
            f"Started by {source}, it seems ({', '.join(found)}), but {' and '.join(missing)}"
            f" {'is' if len(missing) == 1 else 'are'} not set. Set all of {', '.join(names)}, or"
            " none of them for a single process."
        )
    return {name: environment[name] for name in names}


def _count_and_id(found: Mapping[str, str], count_name: str, id_name: str) -> tuple[int, int]:
    for name in (count_name, id_name):
        if not (found[name].isascii() and found[name].isdigit()):
            raise ConfigError(f"{name}={found[name]}: expected a whole number, as in {name}=1")
    count, number = int(found[count_name]), int(found[id_name])
    check_process_id(id_name, number, count_name, count)
    return count, number


def _port_of(job: str) -> int:
    """Returns a port that is the same in all processes of a job, and rarely that of another job."""
    digest = hashlib.sha256(job.encode()).digest()
    return _FIRST_PORT + int.from_bytes(digest[:4], "big") % _NUM_PORTS
