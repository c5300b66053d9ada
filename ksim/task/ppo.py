"""Tasks that learn by PPO, on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from ksim.config import ConfigError
from ksim.config.concerns import TIMED_SCHEDULES, LearningConfig
from ksim.task.config import RLConfig
from ksim.task.rl import RLTask

if TYPE_CHECKING:
    import optax

    from ksim.rl import Algorithm


@dataclass
class PPOConfig(RLConfig, LearningConfig):
    """Options of a task that learns by PPO."""

    learning_rates: ClassVar[tuple[str, ...]] = ("learning_rate",)

    def validate(self) -> None:
        """See `Config.validate`."""
        super().validate()
        if self.learning_rate_schedule in TIMED_SCHEDULES and not self.has_end:
            raise ConfigError(
                f"learning_rate_schedule={self.learning_rate_schedule} needs the length of the"
                " run. Write max_steps=1000, or learning_rate_schedule=constant."
            )


ConfigT = TypeVar("ConfigT", bound=PPOConfig)


class PPOTask(RLTask[ConfigT], Generic[ConfigT]):
    """A task that learns by clipped proximal policy optimisation.

    Reference:
      Schulman et al. 2017, arXiv:1707.06347.
    """

    config_class: ClassVar[type[RLConfig]] = PPOConfig

    def get_optimizer(self) -> optax.GradientTransformation:
        """Returns Adam with the learning rate of the options, after clipping the gradient.

        The schedule of the options scales the steps of any optimizer.
        """
        import optax

        from ksim.rl import clip_by_global_norm

        adam = optax.adam(self.config.learning_rate, eps=1e-5)
        if self.config.max_grad_norm is None:
            return adam
        return optax.chain(clip_by_global_norm(self.config.max_grad_norm), adam)

    def get_algorithm(self) -> Algorithm:
        """Returns the PPO that the options describe."""
        from ksim.rl import PPO, LearningRateSchedule, PPOCoefficients

        config = self.config
        return PPO(
            optimizer=self.get_optimizer(),
            synchronisation=self.get_synchronisation(),
            coefficients=PPOCoefficients(
                clip_param=config.clip_param,
                value_coef=config.value_coef,
                entropy_coef=config.entropy_coef,
                value_clip_param=config.value_clip_param,
            ),
            learning_rate=LearningRateSchedule(
                kind=config.learning_rate_schedule,
                num_iterations=config.max_steps,
                target_kl=config.target_kl,
            ),
            gamma=config.gamma,
            lam=config.lam,
            num_batches=config.num_batches,
            num_passes=config.num_passes,
            reward_scaling=config.reward_scaling,
            has_normalized_advantages=config.is_advantage_normalized,
        )
