"""A pole balanced on a cart: the smallest task, on one device or several.

    python -m examples.cartpole
    python -m examples.cartpole num_devices=2

The world is written in plain JAX, so it needs neither MuJoCo nor terms: a task for a world of
your own looks like this one.
"""

from __future__ import annotations

from dataclasses import dataclass

import ksim


@dataclass
class CartPoleConfig(ksim.DistributedPPOConfig):
    """Options of the cart-pole; they solve it in about a minute on a laptop."""

    num_envs: int = 32
    batch_size: int = 8
    rollout_length_frames: int | None = 64
    max_steps: int | None = 300
    num_passes: int = 8
    reward_scaling: float = 0.1  # discounted returns of up to 100 become 10, which suits the critic
    learning_rate: float = 5e-4
    learning_rate_schedule: str = "linear"
    entropy_coef: float = 0.01
    hidden_sizes: tuple[int, ...] = (64, 64)
    activation: str = "relu"


class CartPoleTask(ksim.DistributedPPOTask[CartPoleConfig]):
    """Keep the pole upright for 500 steps."""

    def get_environment(self) -> ksim.Environment:
        """Returns the classic cart-pole."""
        return ksim.CartPole()


if __name__ == "__main__":
    CartPoleTask.launch(CartPoleConfig())
