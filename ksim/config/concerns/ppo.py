"""Options of PPO."""

from dataclasses import dataclass

from ksim.config.config import Config
from ksim.config.option import option

SCHEDULES = ("constant", "linear", "cosine", "adaptive", "adaptive_linear")
TIMED_SCHEDULES = ("linear", "cosine", "adaptive_linear")


@dataclass
class PolicyUpdateConfig(Config):
    """PPO."""

    gamma: float = option(0.99, help="Discount per control step.", minimum=0, maximum=1)
    lam: float = option(
        0.95, help="GAE: weight of longer returns; 0 is one-step.", minimum=0, maximum=1
    )
    reward_scaling: float = option(
        1.0,
        help="Factor on rewards while learning, never in metrics; one that brings returns to about"
        " 1 to 10 suits the critic.",
        above=0,
    )
    clip_param: float = option(
        0.2, help="How far the probability ratio may move from 1 before it stops paying.", above=0
    )
    value_clip_param: float | None = option(
        None,
        help="How far the critic may move from its last estimate before it stops paying; null does"
        " not clip.",
        above=0,
    )
    value_coef: float = option(0.5, help="Weight of the critic's loss.", minimum=0)
    entropy_coef: float = option(0.005, help="Weight of the entropy bonus.", minimum=0)
    is_advantage_normalized: bool = option(
        True, help="Scale advantages to mean 0 and deviation 1, over all devices."
    )
    learning_rate: float = option(3e-4, help="Step size of Adam.", above=0)
    learning_rate_schedule: str = option(
        "constant",
        help="constant; linear or cosine to 0 at max_steps; adaptive follows target_kl;"
        " adaptive_linear follows a target that falls to 0 at max_steps.",
        choices=SCHEDULES,
    )
    target_kl: float = option(
        0.01,
        help="Divergence from the policy that acted, at which the adaptive learning rate aims.",
        unit="nats",
        above=0,
    )
    max_grad_norm: float | None = option(
        1.0, help="Largest norm of the averaged gradient; null does not clip.", above=0
    )


@dataclass
class LearningConfig(PolicyUpdateConfig):
    """PPO."""

    num_passes: int = option(
        4, help="Passes over the environments in an iteration.", unit="passes", minimum=1
    )
