"""Shows a cost model and its predictions to a person."""

from collections.abc import Iterator, Sequence

from ksim.planning.cost_model import CostModel, check_unit
from ksim.planning.measurement import Measurement
from ksim.planning.scenario import Scenario
from ksim.reporting.table import show_table


def coefficient_lines(model: CostModel, num_runs: int) -> Iterator[str]:
    """Yields the fitted numbers in words."""
    yield f"Fitted to {num_runs} run(s). A device is {model.unit}."
    yield (
        f"A control step takes {_microseconds(model.step)}, and"
        f" {_microseconds(model.environment_step)} for each environment of the device."
    )
    compressing = ""
    if model.compressed_number:
        compressing = f" Compressing takes {1e9 * model.compressed_number:.3g} ns a number."
    yield (
        f"An update takes {_microseconds(model.update)}, and {_microseconds(model.sample)} for"
        f" each sample of the device.{compressing}"
    )
    if not model.step:
        yield "The runs do not tell what a step costs however few the environments: counted as 0."


def relative_error(model: CostModel, measurement: Measurement) -> float:
    """Returns the relative error of the predicted duration of an iteration."""
    return model.predict(measurement.workload).seconds / measurement.seconds - 1


def show_check(
    model: CostModel, fitted: Sequence[Measurement], held_out: Sequence[Measurement]
) -> None:
    """Shows measured durations beside predicted ones, first for runs that were fitted.

    Raises:
      ConfigError: if a held-out run had devices of another kind.
    """
    header = ("run", "", "devices", "environments", "measured", "predicted", "error")
    rows = []
    for kind, measurements in (("fitted", fitted), ("held out", held_out)):
        for measurement in measurements:
            check_unit(measurement, model.unit)
            workload = measurement.workload
            rows.append(
                (
                    measurement.name,
                    kind,
                    f"{workload.num_devices}",
                    f"{workload.num_envs}",
                    f"{measurement.seconds:.4g} s",
                    f"{model.predict(workload).seconds:.4g} s",
                    f"{relative_error(model, measurement):+.1%}",
                )
            )
    show_table(header, rows)


def show_scenario(model: CostModel, scenario: Scenario, device_counts: Sequence[int]) -> None:
    """Shows the predicted cost of a run on each number of devices.

    Raises:
      ConfigError: if environments cannot be split among a number of devices.
    """
    header = (
        "devices",
        "environments",
        "env-steps/s",
        "efficiency",
        "acting",
        "learning",
        "communication",
        "MB sent/update",
    )
    rows = []
    for count in device_counts:
        workload, cost = scenario.workload(count), scenario.cost(model, count)
        traffic = workload.traffic
        sent = "?" if traffic is None else f"{traffic.bytes_per_update(count) / 1e6:.3g}"
        rows.append(
            (
                f"{count:,}",
                f"{workload.num_envs:,}",
                f"{cost.env_steps_per_second:,.0f}",
                f"{scenario.efficiency(model, count):.0%}",
                f"{cost.rollout_seconds / cost.seconds:.0%}",
                f"{cost.learning_seconds / cost.seconds:.0%}",
                f"{cost.communication_seconds / cost.seconds:.1%}",
                sent,
            )
        )
    show_table(header, rows)


def _microseconds(seconds: float) -> str:
    return f"{1e6 * seconds:.3g} us"
