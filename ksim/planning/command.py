"""The command `ksim plan`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ksim.config import ArgumentParser, ConfigError
from ksim.config.concerns import COMPRESSIONS, SCALINGS

if TYPE_CHECKING:
    from ksim.planning.cost_model import CostModel, Network

_DESCRIPTION = """\
Predicts how fast a task would train on more devices than are at hand. A cost model is fitted to
finished runs of the task, compared with runs that it was not fitted to (--check), and asked for
other numbers of devices. Give the runs the machine to themselves; runs that differ in the number of
environments tell what grows with it.
"""
_EPILOG = """\
Examples:
  ksim plan runs/walking/run_000 runs/walking/run_001 --check runs/walking/run_002
  ksim plan runs/walking/run_000 --devices 8 64 1024 --latency-us 5 --bandwidth-gb 25
"""

_POSITIVE = ("latency_us", "bandwidth_gb", "device_speed", "envs_per_device", "grad_sync_period")


def run_plan(arguments: Sequence[str]) -> None:
    """Fits, checks and predicts as a command line asks, and prints the results.

    Raises:
      ConfigError: if something is missing or impossible.
      SystemExit: with status 0, after `--help`.
    """
    options = _parser().parse_args(arguments)
    for name in _POSITIVE:
        _check_positive(name, getattr(options, name))
    for count in options.devices:
        _check_positive("devices", count)
    # After the checks: a wrong option is reported at once.
    from ksim.planning import report
    from ksim.planning.cost_model import fit_cost_model
    from ksim.planning.measurement import read_measurement
    from ksim.planning.scenario import Scenario

    fitted = [read_measurement(run) for run in options.runs]
    held_out = [read_measurement(run) for run in options.check]
    model = fit_cost_model(fitted)
    print("\n".join(report.coefficient_lines(model, len(fitted))))
    print()
    report.show_check(model, fitted, held_out)
    scenario = Scenario(
        base=fitted[0].workload,
        network=_network(options, model),
        device_speed=options.device_speed,
        is_weak=options.scaling == "weak",
        envs_per_device=options.envs_per_device,
        grad_sync_period=options.grad_sync_period,
        grad_compression=options.grad_compression,
    )
    network = scenario.network
    print(
        f"\nPredicted, with {1e6 * network.hop_seconds:.3g} us from device to device and"
        f" {network.bytes_per_second / 1e9:.3g} GB/s:\n"
    )
    report.show_scenario(model, scenario, options.devices)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        example="ksim plan runs/walking/run_000 --devices 8 64",
        prog="ksim plan",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", type=Path, nargs="+", help="directories of the runs to fit; the first is planned")
    add("--check", type=Path, nargs="+", default=[], metavar="RUN", help="runs to compare with")
    add(
        "--devices",
        type=int,
        nargs="+",
        default=[1, 8, 64, 1024],
        metavar="N",
        help="numbers of devices to predict; default 1 8 64 1024",
    )
    add(
        "--scaling",
        choices=SCALINGS,
        default="weak",
        help="strong: as many environments as the first run, split among the devices; weak"
        " (default): as many on each device",
    )
    add("--envs-per-device", type=int, metavar="N", help="default: those of the first run")
    add("--grad-sync-period", type=int, metavar="N", help="default: that of the first run")
    add("--grad-compression", choices=COMPRESSIONS, help="default: that of the first run")
    add(
        "--latency-us",
        type=float,
        metavar="US",
        help="time of a message from a device to the next, in microseconds; default: as measured",
    )
    add(
        "--bandwidth-gb",
        type=float,
        metavar="GB",
        help="what a device sends, in 10^9 bytes/s; default: as measured",
    )
    add(
        "--device-speed",
        type=float,
        default=1.0,
        metavar="X",
        help="how many times as fast as a measured device each is; default 1",
    )
    return parser


def _network(options: argparse.Namespace, model: "CostModel") -> "Network":
    """Returns the network of the options; numbers that are not given are those measured."""
    from ksim.planning.cost_model import Network

    latency, bandwidth, measured = options.latency_us, options.bandwidth_gb, model.network
    if latency is not None and bandwidth is not None:
        return Network(latency / 1e6, bandwidth * 1e9)
    if measured is None:
        raise ConfigError(
            "No run had several devices, so that communication was not measured. Name one that had,"
            " or write --latency-us 5 --bandwidth-gb 25, for example."
        )
    return Network(
        measured.hop_seconds if latency is None else latency / 1e6,
        measured.bytes_per_second if bandwidth is None else bandwidth * 1e9,
    )


def _check_positive(name: str, value: float | None) -> None:
    if value is not None and value <= 0:
        raise ConfigError(f"--{name.replace('_', '-')} {value}: write a number above 0.")
