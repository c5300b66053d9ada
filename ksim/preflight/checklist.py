"""Judges what a trial has measured: one line for each check, passed or failed, with its figure.

Another check is one more function that returns a `Check`, called in `ksim.preflight.checks`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEAST_BUSY = 0.6
"""Share of the time of the slowest device that every device must be busy."""

LEAST_EFFICIENCY = 0.75
"""Share of its own speed that a device must keep among several: 3 of 4 devices' worth."""


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    Attributes:
      name: what is checked, in words.
      has_passed: whether it holds; `None` if it cannot be judged here.
      figure: the number behind it, in words, and what to do if it failed.
    """

    name: str
    has_passed: bool | None
    figure: str

    def __str__(self) -> str:
        verdict = {True: "pass", False: "FAIL", None: "----"}[self.has_passed]
        return f"  {verdict}  {self.name}: {self.figure}"


def all_devices_busy(seconds: Mapping[int, float], are_cores_shared: bool) -> Check:
    """Checks that no device waits for another one for long.

    Args:
      seconds: what each device took to act, by its place in the run; empty for one device.
      are_cores_shared: True if the devices are simulated, and take turns on the same cores.
    """
    name = "all devices busy"
    if not seconds:
        return Check(name, True, "one device, which waits for no other")
    slowest = max(seconds, key=lambda index: seconds[index])
    idlest = min(seconds, key=lambda index: seconds[index])
    share = seconds[idlest] / seconds[slowest]
    figure = (
        f"while {len(seconds)} devices acted, each was busy for {share:.0%} of the time or more"
    )
    if are_cores_shared:
        return Check(name, None, f"{figure}; simulated devices share their cores")
    if share >= LEAST_BUSY:
        return Check(name, True, figure)
    return Check(
        name,
        False,
        f"{figure}; {LEAST_BUSY:.0%} are expected. Device {slowest} is the slowest, device {idlest}"
        " waits for it: look at what else runs there, or leave it out",
    )


def fast_together(
    rate: float, single_device_rate: float | None, num_devices: int, are_cores_shared: bool
) -> Check:
    """Checks the speed of all devices against that of one alone.

    Args:
      rate: environment steps of all devices in a second.
      single_device_rate: those of one device alone; `None` if it was not measured.
      num_devices: devices of the run.
      are_cores_shared: True if the devices are simulated.
    """
    name, figure = "global frames per second", f"{rate:,.0f}"
    if num_devices == 1:
        return Check(name, True, f"{figure}, of one device")
    if single_device_rate is None:
        return Check(
            name,
            None,
            f"{figure}, of {num_devices} devices; efficiency_baseline=runs/.../run_000 compares"
            " with a run on one device",
        )
    times = rate / single_device_rate
    figure = f"{figure}, {times:.2f} times the {single_device_rate:,.0f} of one device"
    if are_cores_shared:
        return Check(name, None, f"{figure}; simulated devices share their cores")
    least = LEAST_EFFICIENCY * num_devices
    if times >= least:
        return Check(name, True, figure)
    return Check(
        name,
        False,
        f"{figure}; {least:.2g} times are expected of {num_devices}. More environments on each"
        " device keep it busier: num_envs=auto, or scaling=weak",
    )


def one_run_directory(paths: Sequence[str]) -> Check:
    """Checks that all processes mean the same run.

    Args:
      paths: where each process would keep the run, as an absolute path.
    """
    name, different = "one run directory", sorted(set(paths))
    if len(different) == 1:
        written = "" if len(paths) == 1 else f", written by process 0 of {len(paths)}"
        return Check(name, True, f"below {different[0]}{written}")
    return Check(
        name,
        False,
        f"{len(different)} directories: {', '.join(different)}. Start all processes in one working"
        " directory, or write run_dir as an absolute path",
    )


def parameters_equal(is_identical: bool, drift: float, num_devices: int) -> Check:
    """Checks that all devices hold the same parameters, bit by bit.

    Args:
      is_identical: True if the fingerprints of all devices agree.
      drift: largest difference between two devices, before they were averaged.
      num_devices: devices of the run.
    """
    name = "parameters equal everywhere"
    if is_identical:
        return Check(name, True, f"the same bits on {num_devices} device(s) after an update")
    return Check(
        name,
        False,
        f"the bits differ on {num_devices} devices, by up to {drift:.3g}. A gradient"
        " synchronisation of your own must return the same values on every device",
    )


def collectives_right(found: Sequence[float], latency_seconds: float | None) -> Check:
    """Checks that an average over the devices is what it should be.

    Args:
      found: the average of 0, 1, 2, ..., one number for each device, as each has received it.
      latency_seconds: what an average takes, s; `None` if there is one device.
    """
    name, expected = "no errors of collectives", (len(found) - 1) / 2
    if latency_seconds is None:
        return Check(name, True, "one device, which sends nothing")
    wrong = [index for index, value in enumerate(found) if value != expected]
    if not wrong:
        time = f"{1e6 * latency_seconds:.3g} us each"
        return Check(name, True, f"averages over {len(found)} devices are right, {time}")
    return Check(
        name,
        False,
        f"the average over {len(found)} devices should be {expected}, and device {wrong[0]} got"
        f" {found[wrong[0]]}",
    )


def checkpoint_loads(num_arrays: int, num_bytes: int, different: Sequence[str]) -> Check:
    """Checks that a checkpoint of all devices is read on one.

    Args:
      num_arrays: arrays in it.
      num_bytes: their size.
      different: names of those that came back with other bits.
    """
    name = "a checkpoint loads on one device"
    figure = f"{num_arrays} arrays of {num_bytes / 1e6:.3g} MB"
    if not different:
        return Check(name, True, f"{figure}, the same bits")
    return Check(name, False, f"{figure}, of which {', '.join(different)} came back different")


def smoke_test(metrics: Mapping[str, float], num_iterations: int) -> Check:
    """Checks that iterations ran, and that what they say are numbers.

    Args:
      metrics: of the last update.
      num_iterations: iterations that ran.
    """
    name = "smoke test"
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken:
        return Check(name, False, f"NaN or infinite: {', '.join(broken)}")
    return Check(
        name, True, f"{num_iterations} iterations, all {len(metrics)} metrics of the update finite"
    )
