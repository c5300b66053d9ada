"""Schedules the learning rate of a run."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ksim.config.concerns import SCHEDULES, TIMED_SCHEDULES


@dataclasses.dataclass(frozen=True)
class LearningRateSchedule:
    """A schedule of the factor on the optimizer's step; works with any optimizer.

    `constant` keeps 1; `linear` and `cosine` fall from 1 to 0 over `num_iterations`. `adaptive`
    follows the divergence of the policy from the one that acted: after each update the factor
    shrinks by `step` above twice the target, and grows by it below half the target. The first
    update of an iteration, before which the policy has not moved, changes nothing.
    `adaptive_linear` does the same with a target that falls to 0 over `num_iterations`: a policy
    that comes to rest.

    Attributes:
      kind: one of `SCHEDULES`.
      num_iterations: length of the run, for all kinds but `constant` and `adaptive`.
      target_kl: target divergence of `adaptive`, nats.
      step: factor of one adaptation.
      minimum: least value of the adaptive factor.
      maximum: greatest value of the adaptive factor.

    Reference:
      The adaptive rule is that of rsl_rl: Rudin et al. 2022, arXiv:2109.11978, section 3.
    """

    kind: str = "constant"
    num_iterations: int | None = None
    target_kl: float = 0.01
    step: float = 1.5
    minimum: float = 0.01
    maximum: float = 10.0

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ValueError(
                f"learning_rate_schedule must be one of {', '.join(SCHEDULES)}, found {self.kind}."
            )
        if self.kind in TIMED_SCHEDULES and self.num_iterations is None:
            raise ValueError(
                f"learning_rate_schedule={self.kind} needs the length of the run:"
                " write max_steps=1000, or learning_rate_schedule=constant."
            )

    @property
    def is_adaptive(self) -> bool:
        """True if the factor follows the divergence of the policy."""
        return self.kind in ("adaptive", "adaptive_linear")

    def at(self, iteration: Int[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
        """Returns the factor at the start of an iteration, given the last one."""
        if self.kind == "constant":  # whatever a checkpoint of another schedule ended with
            return jnp.ones_like(scale)
        if self.kind == "linear":
            return self._share_left(iteration)
        if self.kind == "cosine":
            return 0.5 * (1.0 - jnp.cos(jnp.pi * self._share_left(iteration)))
        return scale

    def after_update(
        self, scale: Float[Array, ""], kl: Float[Array, ""], iteration: Int[Array, ""]
    ) -> Float[Array, ""]:
        """Returns the factor after an update of `iteration` with a divergence of `kl`."""
        if not self.is_adaptive:
            return scale
        target = jnp.float32(self.target_kl)
        if self.kind == "adaptive_linear":
            target = target * self._share_left(iteration)
        factor = jnp.where(kl > 2 * target, 1 / self.step, 1.0)
        factor = jnp.where(kl < 0.5 * target, self.step, factor)
        return jnp.clip(scale * factor, self.minimum, self.maximum)

    def _share_left(self, iteration: Int[Array, ""]) -> Float[Array, ""]:
        """Returns the share of the run that is left, from 1 to 0."""
        assert self.num_iterations is not None
        return 1.0 - jnp.clip(iteration / self.num_iterations, 0.0, 1.0)
