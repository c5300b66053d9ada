"""How the learning rate changes during a run."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ksim.config.concerns import SCHEDULES


@dataclasses.dataclass(frozen=True)
class LearningRateSchedule:
    """A factor on the optimizer's step, so that it works with any optimizer.

    `constant` keeps 1; `linear` and `cosine` fall from 1 to 0 over `num_iterations`; `adaptive`
    follows the divergence between the old and the new policy after every update: above twice the
    target the factor shrinks by `step`, below half of it the factor grows.

    Attributes:
      kind: one of `SCHEDULES`.
      num_iterations: length of the run, for `linear` and `cosine`.
      target_kl: the divergence that `adaptive` aims at, nats.
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
        if self.kind in ("linear", "cosine") and self.num_iterations is None:
            raise ValueError(
                f"learning_rate_schedule={self.kind} needs the length of the run:"
                " write max_steps=1000, or learning_rate_schedule=constant."
            )

    @property
    def is_adaptive(self) -> bool:
        """Whether the factor follows the divergence of the policy."""
        return self.kind == "adaptive"

    def at(self, iteration: Int[Array, ""], scale: Float[Array, ""]) -> Float[Array, ""]:
        """Returns the factor with which an iteration begins, given the last one's."""
        if self.num_iterations is None or self.kind not in ("linear", "cosine"):
            return scale
        progress = jnp.clip(iteration / self.num_iterations, 0.0, 1.0)
        if self.kind == "linear":
            return 1.0 - progress
        return 0.5 * (1.0 + jnp.cos(jnp.pi * progress))

    def after_update(self, scale: Float[Array, ""], kl: Float[Array, ""]) -> Float[Array, ""]:
        """Returns the factor after an update that moved the policy by `kl` nats."""
        if not self.is_adaptive:
            return scale
        factor = jnp.where(kl > 2 * self.target_kl, 1 / self.step, 1.0)
        factor = jnp.where(kl < 0.5 * self.target_kl, self.step, factor)
        return jnp.clip(scale * factor, self.minimum, self.maximum)
