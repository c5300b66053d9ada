"""The game of snake, learned from the board by a convolutional network, on one device or several.

    python -m examples.snake configs/snake_small.yaml
    python -m examples.snake configs/snake_base.yaml num_devices=2 total_timesteps=1000000 seed=1
    python -m examples.snake run_mode=render load_from_ckpt_path=runs/snake/run_000

The last line draws a game into a film. `scripts/train_ddp.sh` trains on all devices of a machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import ksim


@dataclass
class SnakeConfig(ksim.DistributedPPOConfig):
    """The game of snake."""

    grid_size: int = ksim.option(
        12, help="Rows and columns of the board.", unit="cells", minimum=5, maximum=100
    )
    max_episode_steps: int | None = ksim.option(
        None, help="Steps after which a game times out; null is 200 grid_size.", minimum=1
    )
    step_penalty: float = ksim.option(-0.01, help="Reward of a step without food.", maximum=0)
    death_penalty: float = ksim.option(-1.0, help="Reward of the step that loses.", maximum=0)
    food_reward: float = ksim.option(1.0, help="Reward of food.", minimum=0)
    distance_reward_scale: float = ksim.option(
        0.0, help="Reward of each cell by which the head comes nearer to the food.", minimum=0
    )
    frame_stack: int = ksim.option(1, help="Steps observed together.", minimum=1, maximum=16)

    num_envs: int = 256
    batch_size: int = 32
    rollout_length_frames: int | None = 32
    num_passes: int = 2
    gamma: float = 0.99
    lam: float = 0.95
    learning_rate: float = 2e-3
    learning_rate_schedule: str = "linear"
    entropy_coef: float = 0.01
    total_timesteps: int | None = 12_000_000
    eval_length_seconds: float | None = 240.0  # 2,400 moves: a whole game, with a time-out
    conv_channels: tuple[int, ...] = (32, 32)
    conv_kernels: tuple[int, ...] = (3,)
    conv_strides: tuple[int, ...] = (2, 1)  # the first layer is the dear one: it halves the board
    hidden_sizes: tuple[int, ...] = (128,)
    activation: str = "relu"
    is_observation_normalized: bool = False  # zeros and ones already


class SnakeTask(ksim.DistributedPPOTask[SnakeConfig]):
    """Eat as much as possible without biting into the wall or the own body."""

    def get_environment(self) -> ksim.Environment:
        """Returns the game that the options describe."""
        config = self.config
        return ksim.Snake(
            grid_size=config.grid_size,
            max_steps=config.max_episode_steps,
            step_penalty=config.step_penalty,
            death_penalty=config.death_penalty,
            food_reward=config.food_reward,
            distance_reward_scale=config.distance_reward_scale,
            frame_stack=config.frame_stack,
        )


if __name__ == "__main__":
    SnakeTask.launch(SnakeConfig())
