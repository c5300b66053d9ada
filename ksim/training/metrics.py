"""Turns the sums of a rollout into the metrics that are logged."""

from collections.abc import Iterable, Mapping

import jax
import numpy as np

from ksim.envs import Environment
from ksim.envs.type_check import require
from ksim.rl import RolloutStatistics

Metrics = dict[str, float]

TOTAL = "total"
"""Name below `reward/` of the sum of all rewards."""

OWN_METRICS = ("iteration", "env_steps", "wall_seconds", f"reward/{TOTAL}")
"""Names of metrics that every run logs, beside those of `OWN_GROUPS`."""

OWN_GROUPS = (
    *("communication/", "curriculum/", "device/", "episode/", "eval/", "extension/"),
    *("loss/", "policy/", "termination/", "throughput/", "time/", "value/"),
)
"""Prefixes of all other metrics of a run."""


RUN_METRICS = ("curriculum/level", "device/is_identical", "device/replica_drift")
"""Names of those metrics of an update that are the run's, whatever the algorithm's are."""


def check_metric_names(environment: Environment, names: Iterable[str]) -> None:
    """Checks that no metric of an environment takes the name of one that every run logs.

    Args:
      environment: the environment.
      names: names of its metrics.

    Raises:
      ValueError: if one does, with what to write instead.
    """
    for name in names:
        is_own = name in OWN_METRICS or name.startswith(OWN_GROUPS)
        rule, found = "metrics have names of their own", f'every run logs "{name}" or its like'
        advice = f'write "my_{name}", for instance.'
        require(environment, not is_own, rule, found, advice, ValueError)


def check_reward_names(names: Iterable[str]) -> None:
    """Checks that no reward takes the name of their sum.

    Raises:
      ValueError: if one does, with what to write instead.
    """
    if TOTAL in names:
        raise ValueError(
            f'A reward cannot be called "{TOTAL}": the sum of all is logged by this name. Write'
            f' "{TOTAL}_effort", for instance.'
        )


def rollout_metrics(statistics: RolloutStatistics) -> Metrics:
    """Returns the metrics of one rollout.

    Args:
      statistics: sums of every device, each leaf `[num_devices]`.

    Returns:
      `reward/total` and the environment's own metrics as means over steps; `episode/...` as means
      and `termination/...` as shares over the episodes that ended, left out if none did; and
      `device/<i>/reward` for each of several devices.
    """
    # Sums in double precision, in the order of the devices.
    total = jax.tree.map(lambda x: float(np.sum(x, dtype=np.float64)), statistics)
    num_steps = max(total.num_steps, 1.0)
    metrics = {f"reward/{TOTAL}": total.reward / num_steps}
    metrics |= {name: value / num_steps for name, value in total.metrics.items()}
    metrics["episode/count"] = total.num_episodes
    if total.num_episodes:
        metrics["episode/return"] = total.episode_return / total.num_episodes
        metrics["episode/length"] = total.episode_length / total.num_episodes
        metrics |= {
            f"termination/{name}": count / total.num_episodes
            for name, count in total.terminations.items()
        }
    if len(statistics.num_steps) > 1:
        per_device = statistics.reward / np.maximum(statistics.num_steps, 1)
        metrics |= {f"device/{i}/reward": float(mean) for i, mean in enumerate(per_device)}
    return metrics


def without_learning(metrics: Mapping[str, float]) -> Metrics:
    """Returns the metrics of an update in which the algorithm did not learn yet: the run's own."""
    return {name: metrics[name] for name in RUN_METRICS if name in metrics}


def check_update_metrics(
    metrics: Mapping[str, float], iteration: int, acted: Mapping[str, float] | None = None
) -> None:
    """Rejects updates that make the run worthless.

    Args:
      metrics: metrics of the updates.
      iteration: iterations finished.
      acted: metrics of the rollout that the updates learned from.

    Raises:
      FloatingPointError: if a loss is not finite, with where to look.
      RuntimeError: if the replicas of the devices differ.
    """
    broken = _not_finite(metrics)
    if broken:
        raise FloatingPointError(
            f"Iteration {iteration}: {', '.join(broken)} became NaN or infinite. The parameters of"
            " this iteration are not saved; the last checkpoint is from before."
            f" {_where_to_look(broken, _not_finite(acted or {}))}"
        )
    if not metrics["device/is_identical"]:
        raise RuntimeError(
            f"Iteration {iteration}: the devices do not hold the same parameters, which differ by"
            f" up to {metrics['device/replica_drift']:.3g}. A gradient synchronisation of your own"
            " must return the same values on every device; if there is none, this is an error in"
            " ksim."
        )


def _not_finite(metrics: Mapping[str, float]) -> list[str]:
    return [name for name, value in metrics.items() if not np.isfinite(value)]


def _where_to_look(broken: list[str], broken_before: list[str]) -> str:
    if broken_before:
        return (
            f"Before that, in the world itself: {', '.join(broken_before)}. Look there for"
            " divisions by 0, and for roots and logarithms of negative numbers."
        )
    advice = "a lower learning_rate, a lower max_grad_norm, rewards of the order of 1."
    if "value/mean" in broken:
        return (
            "What the critic was shown may have been NaN or infinite, too: look at the"
            f" observations. Otherwise often helps: {advice}"
        )
    return f"Often helps: {advice}"
