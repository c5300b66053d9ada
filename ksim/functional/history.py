"""The history of a training by `train_ppo`."""

from collections.abc import Mapping
from typing import SupportsFloat

import numpy as np
from flax import struct
from jaxtyping import Float

_METRICS = {
    "total_loss": "loss/total",
    "actor_loss": "loss/policy",
    "critic_loss": "loss/value",
    "entropy": "loss/entropy",
    "approx_kl": "policy/kl",
    "episode_return": "episode/return",
    "episode_length": "episode/length",
}
"""Metric of a run behind each array of the history."""


@struct.dataclass
class PPOMetricsHistory:
    """Metrics of every update of a training: arrays `[n_updates]`.

    Attributes:
      total_loss: the loss that the updates minimised.
      actor_loss: its clipped surrogate part.
      critic_loss: its value part, not yet weighted.
      entropy: entropy of the policy, nats.
      approx_kl: divergence of the old policy from the new one, nats.
      episode_return: mean return of the episodes that ended; NaN where none did.
      episode_length: mean length of the same episodes, steps; NaN where none ended.
    """

    total_loss: Float[np.ndarray, "n_updates"]
    actor_loss: Float[np.ndarray, "n_updates"]
    critic_loss: Float[np.ndarray, "n_updates"]
    entropy: Float[np.ndarray, "n_updates"]
    approx_kl: Float[np.ndarray, "n_updates"]
    episode_return: Float[np.ndarray, "n_updates"]
    episode_length: Float[np.ndarray, "n_updates"]


class HistoryRecorder:
    """Collects the metrics of a run: a `MetricsLogger`."""

    def __init__(self) -> None:
        self._rows: list[list[float]] = []

    def log(
        self,
        iteration: int,
        env_steps: int,
        wall_seconds: float,
        metrics: Mapping[str, SupportsFloat],
    ) -> None:
        """Adds one update; see `MetricsLogger.log`."""
        del iteration, env_steps, wall_seconds
        nothing = float("nan")
        self._rows.append([float(metrics.get(name, nothing)) for name in _METRICS.values()])

    def close(self) -> None:
        """Does nothing: there is nothing to close."""

    def history(self) -> PPOMetricsHistory:
        """Returns the metrics collected so far."""
        columns = np.array(self._rows, np.float32).reshape(-1, len(_METRICS)).T
        return PPOMetricsHistory(**dict(zip(_METRICS, columns, strict=True)))
