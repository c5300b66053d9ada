"""Prints the results of a trial before a run."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from ksim.parallel import CollectiveSpeed
from ksim.preflight.device_fit import DeviceFit, in_bytes
from ksim.preflight.distinctness import Distinctness
from ksim.reporting.table import show_table

_HEADER = ("device", "host", "kind", "environments", "takes", "has free")


def show_devices(fit: DeviceFit, console: Console | None = None) -> None:
    """Shows a table of the devices; plain columns off a terminal.

    Args:
      fit: the devices, and the memory that the run takes on them.
      console: where to show it, standard output by default.
    """
    takes = in_bytes(fit.memory.peak)
    rows = [
        (
            str(index),
            device.host,
            device.kind,
            f"{device.first_env}-{device.first_env + device.num_envs - 1}",
            takes,
            "not known" if device.free is None else in_bytes(device.free),
        )
        for index, device in enumerate(fit.devices)
    ]
    show_table(_HEADER, rows, console)


def show_lines(lines: Sequence[str], console: Console | None = None) -> None:
    """Shows lines as they are."""
    print("\n".join(lines), file=(console or Console()).file, flush=True)


def memory_lines(fit: DeviceFit) -> Iterator[str]:
    """Yields the memory of rollout, update and each environment."""
    memory = fit.memory
    per_env = memory.peak / fit.devices[0].num_envs
    remembered = ""
    if memory.remembered:
        remembered = f" {in_bytes(memory.remembered)} what the algorithm remembers,"
    yield (
        f"Memory of a device: {in_bytes(memory.rollout)} to act, {in_bytes(memory.update)} to"
        f" learn. Of that, {in_bytes(memory.train_state)} are parameters and optimizer,"
        f"{remembered} {in_bytes(memory.environments)} the state of its environments;"
        f" {in_bytes(per_env)} in all for each environment."
    )


def speed_lines(metrics: Mapping[str, float], speed: CollectiveSpeed | None) -> Iterator[str]:
    """Yields the speed of an iteration and of the devices' communication."""
    yield (
        f"Speed: {metrics['throughput/env_steps_per_second']:,.0f} environment steps in a second;"
        f" an iteration acts for {metrics['time/rollout_seconds']:.3g} s and learns for"
        f" {metrics['time/update_seconds']:.3g} s."
    )
    if speed is None:
        yield "Communication: none, with one device."
        return
    text = (
        f"Communication: an average over the devices takes {1e6 * speed.latency_seconds:.3g} us;"
        f" beyond that a device sends {in_bytes(speed.bytes_per_second)} in a second."
    )
    share = metrics.get("time/communication_share_estimated")
    if share is not None:
        sent = in_bytes(metrics["communication/bytes_per_update"])
        text += f" It sends {sent} in an update: an estimated {share:.1%} of the time."
    yield text


def difference_lines(distinctness: Distinctness, num_envs: int) -> Iterator[str]:
    """Yields the counts of different environments."""
    counts = {
        "Random keys": distinctness.num_keys,
        "Randomized physics": distinctness.num_randomized,
        "States after a rollout": distinctness.num_states,
    }
    for name, count in counts.items():
        if count is not None:
            yield f"{name}: {count} different ones for {num_envs} environments."


def agreement_lines(num_processes: int) -> Iterator[str]:
    """Yields whether all processes do the same."""
    if num_processes == 1:
        yield "Code and options: one process, which agrees with itself."
    else:
        yield f"Code and options: {num_processes} processes, which compared them when they met."
