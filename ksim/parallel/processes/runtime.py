"""Starts the processes of a run together: ksim's hub, then JAX's distributed runtime."""

import atexit
import contextlib
import dataclasses
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping

import jax

from ksim.config import ConfigError
from ksim.config.concerns import ProcessesConfig, split_address
from ksim.parallel.processes.agreement import check_agreement
from ksim.parallel.processes.cluster import ClusterPlace, find_place
from ksim.parallel.processes.ending import end_at_once, end_because_of_loss
from ksim.parallel.processes.group import ProcessGroup, SingleProcess
from ksim.parallel.processes.hub import Hub, listen
from ksim.parallel.processes.member import Member, connect
from ksim.xla.backend import has_jax_started
from ksim.xla.flags import COLLECTIVE_TIMEOUT, set_default_flag
from ksim.xla.gloo import prepare_gloo
from ksim.xla.preemption import keep_sigterm
from ksim.xla.threads import limit_xla_threads


@dataclasses.dataclass
class _Running:
    """The processes that this one has started with; there is one such group in a process."""

    group: ProcessGroup
    place: ClusterPlace | None
    failure_status: int | None = None


_running: _Running | None = None


def current_processes() -> ProcessGroup:
    """Returns the processes of the run: those that were started, or this one alone."""
    return _running.group if _running is not None else SingleProcess()


def start_processes(
    options: ProcessesConfig,
    facts: Callable[[], Mapping[str, str]],
    num_local_devices: int | None = None,
) -> ProcessGroup:
    """Joins the processes of the run, and starts JAX's distributed runtime among them.

    Only the first call of a process has an effect. It must come before JAX starts its devices.

    Args:
      options: the place of this process, unless its launcher gives it.
      facts: returns the facts on which all processes must agree, by name; called if there are
        several.
      num_local_devices: devices of this process; `None` for all, or one for each of several
        processes on a machine.

    Returns:
      The processes; `SingleProcess` if this is the only one.

    Raises:
      ConfigError: if the options or variables do not fit, or processes disagree.
      ProcessesError: if the processes do not find each other in time.
    """
    global _running
    place = find_place(options, os.environ)
    if _running is not None:
        if place != _running.place:
            raise ConfigError(
                "This process has joined a run of other processes already"
                f" ({_running.place or 'of this one alone'}); now the options say {place}."
                " Start another Python process for another group of processes."
            )
        return _running.group
    if place is None:
        return SingleProcess()
    _check_backend_has_not_started()
    member = _meet(options, place)
    _running = _Running(member, place)
    atexit.register(_leave)
    with failures_reported():
        check_agreement(member, facts())
        _start_jax(options, member, num_local_devices)
    # JAX waits at exit for all processes. Registered after JAX's own, ours comes first.
    atexit.unregister(_leave)
    atexit.register(_leave)
    return member


@contextlib.contextmanager
def failures_reported() -> Iterator[None]:
    """Tells the other processes of an exception that passes through, so that none waits for this.

    At exit the process then leaves without waiting for the others. With one process it does
    nothing.
    """
    try:
        yield
    except BaseException as error:
        if _running is not None and _running.failure_status is None:
            _running.failure_status = _status_of(error)
            _running.group.fail(error)
        raise


def _status_of(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, ConfigError) else 1


def _leave() -> None:
    """Leaves the run at exit, or ends without JAX's shutdown if something went wrong."""
    assert _running is not None
    uncaught = getattr(sys, "last_value", None)
    if _running.failure_status is None and isinstance(uncaught, BaseException):
        _running.failure_status = _status_of(uncaught)
        _running.group.fail(uncaught)
    if _running.failure_status is not None:
        end_at_once(_running.failure_status)
    _running.group.leave()


def _meet(options: ProcessesConfig, place: ClusterPlace) -> Member:
    host, port = split_address("coordinator_address", place.coordinator_address)
    own_host = host
    if place.process_id == 0:
        own_host = options.coordinator_bind_address or host
        listening = listen(own_host, port)
        _check_reachable(host, own_host, listening, place)
        Hub(
            listening,
            place.num_processes,
            options.startup_timeout_seconds,
            options.heartbeat_timeout_seconds,
        )
    return connect(
        own_host,
        port,
        place.process_id,
        place.num_processes,
        options.startup_timeout_seconds,
        options.heartbeat_timeout_seconds,
        options.collective_timeout_seconds,
        end_because_of_loss,
    )


def _check_reachable(host: str, own_host: str, bound: socket.socket, place: ClusterPlace) -> None:
    """Rejects a host name that is the loopback on its own machine, as on some systems."""
    address = ipaddress.ip_address(bound.getsockname()[0].split("%")[0])
    is_meant = host == "localhost" or _is_number(host) or own_host != host
    if address.is_loopback and not is_meant and host != socket.gethostname():
        raise ConfigError(
            f"coordinator_address={place.coordinator_address}: here {host} is {address}, which no"
            " other machine reaches. Write coordinator_bind_address=<address of the network"
            " interface>, or coordinator_address=127.0.0.1:... if all processes run here."
        )


def _is_number(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _start_jax(options: ProcessesConfig, member: Member, num_local_devices: int | None) -> None:
    own_host = member.own_host
    address = member.from_main("JAX's address", _free_address(own_host) if member.is_main else None)
    keep_sigterm()
    set_default_flag(COLLECTIVE_TIMEOUT, int(options.collective_timeout_seconds) + 1)
    prepare_gloo(own_host)
    share_cores(member)
    jax.distributed.initialize(
        coordinator_address=address,
        num_processes=member.count,
        process_id=member.index,
        local_device_ids=_local_device_ids(member, num_local_devices),
        cluster_detection_method="deactivate",
        coordinator_bind_address=address,
        initialization_timeout=int(options.startup_timeout_seconds) + 1,
        # JAX names nobody and aborts: the hub is to be quicker.
        heartbeat_timeout_seconds=int(3 * options.heartbeat_timeout_seconds) + 60,
    )


def _free_address(host: str) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def share_cores(group: ProcessGroup) -> None:
    """Limits XLA's threads to this process's part of the cores that it shares."""
    sharing = group.peers_on_my_cores
    num_cores = len(group.peers[group.index].cores)
    if len(sharing) > 1:
        limit_xla_threads(max(1, num_cores // len(sharing)))


def _local_device_ids(member: Member, num_local_devices: int | None) -> list[int] | None:
    """Returns the GPUs that this process takes, where several processes see all of a machine."""
    neighbours = member.peers_on_my_host
    if len(neighbours) == 1 or "CUDA_VISIBLE_DEVICES" in os.environ:
        return None
    each = num_local_devices or 1
    first = each * [peer.index for peer in neighbours].index(member.index)
    return list(range(first, first + each))


def _check_backend_has_not_started() -> None:
    if has_jax_started():
        raise ConfigError(
            "JAX has started its devices already, and cannot join other processes any more. Build"
            " the task before the first JAX computation (jax.devices() counts as one)."
        )
