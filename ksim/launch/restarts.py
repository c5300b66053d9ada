"""Starts all processes, and starts them again from the last checkpoint."""

import os
import sys
from collections.abc import Sequence

from ksim.config.launched import ADDRESS_VARIABLE, COUNT_VARIABLE, ID_VARIABLE, REPORT_VARIABLE
from ksim.launch.attempt import Attempt, Outcome
from ksim.launch.command import LaunchPlan
from ksim.launch.resources import free_loopback_address, split_gpus

_WRONG_OPTION_STATUS = 2


def launch(plan: LaunchPlan) -> int:
    """Runs a plan to its end.

    A failure starts all processes again from the run's last checkpoint, in the same run directory,
    up to `max_restarts` times, except for a wrong option, which would fail again. If a restart
    gets no further than the start before, the process that failed is left out, as far as
    `min_processes` allows: the new number divides the old one, so that environments still split.

    Returns:
      The exit status: that of the first failure of the last start, or 0.

    Raises:
      ConfigError: if the GPUs do not split evenly over the processes.
    """
    shares = split_gpus(plan.num_processes, os.environ)
    arguments = list(plan.arguments)
    last_step: int | None = None
    num_restarts = 0
    while True:
        outcome = _attempt(plan.module, arguments, shares)
        if outcome.status == 0 or outcome.stop_signal is not None:
            return outcome.status
        _say(f"{outcome.reason}.")
        if outcome.status == _WRONG_OPTION_STATUS or num_restarts == plan.max_restarts:
            return outcome.status
        num_restarts += 1
        if outcome.run_dir is not None:
            arguments = arguments_to_continue(plan.arguments, outcome.run_dir, outcome.step)
        if last_step is not None and outcome.step <= last_step:
            shares = _fewer(shares, outcome.culprit, plan.min_processes)
        last_step = outcome.step
        _say(
            f"restart {num_restarts} of {plan.max_restarts}, {len(shares)} process(es), from"
            f" iteration {outcome.step} of {outcome.run_dir or 'a new run'}."
        )


def arguments_to_continue(arguments: Sequence[str], run_dir: str, step: int) -> list[str]:
    """Returns the options of a task, changed so that it continues its run.

    Args:
      arguments: the options as the user gave them.
      run_dir: the run's directory.
      step: iterations in its newest checkpoint; 0 if it has none. The run then begins where it
        began before, even at the checkpoint of another run.
    """
    replaced = ("run_dir=", "load_from_ckpt_path=") if step else ("run_dir=",)
    kept = [argument for argument in arguments if not argument.startswith(replaced)]
    if step:
        kept.append("load_from_ckpt_path=null")  # a YAML file may name one
    return [*kept, f"run_dir={run_dir}"]


def _attempt(module: str, arguments: list[str], shares: list[dict[str, str]]) -> Outcome:
    address = free_loopback_address()
    environments = []
    for index, share in enumerate(shares):
        own = {ADDRESS_VARIABLE: address, COUNT_VARIABLE: str(len(shares)), ID_VARIABLE: str(index)}
        environments.append({**os.environ, "PYTHONUNBUFFERED": "1", **own, **share})
    command = [sys.executable, "-m", module, *arguments]
    return Attempt(command, environments, REPORT_VARIABLE).run()


def _fewer(
    shares: list[dict[str, str]], culprit: int | None, min_processes: int
) -> list[dict[str, str]]:
    """Returns fewer shares, without that of the culprit: the new number divides the old one."""
    count = len(shares)
    smaller = [n for n in range(min_processes, count) if count % n == 0]
    if not smaller:
        return shares
    return [share for index, share in enumerate(shares) if index != culprit][: smaller[-1]]


def _say(text: str) -> None:
    print(f"[launch] {text}", file=sys.stderr, flush=True)
