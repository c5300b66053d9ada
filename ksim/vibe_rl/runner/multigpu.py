"""Training by the name and the arguments of vibe-rl's guide."""

from ksim.envs import Environment
from ksim.functional import (
    PPOConfig,
    PPOMetricsHistory,
    PPOTrainState,
    RunnerConfig,
    train_ppo,
)
from ksim.functional.interface import EnvParams


def train_ppo_multigpu(
    env: Environment,
    env_params: EnvParams | None = None,
    *,
    ppo_config: PPOConfig | None = None,
    runner_config: RunnerConfig | None = None,
    obs_shape: tuple[int, ...] | None = None,
    n_actions: int | None = None,
) -> tuple[PPOTrainState, PPOMetricsHistory]:
    """Trains a new agent by `ksim.train_ppo`, which uses all devices anyway.

    Arguments, result and errors are described there. To go on with an agent, call `train_ppo`.
    """
    return train_ppo(
        env,
        env_params,
        ppo_config=ppo_config,
        runner_config=runner_config,
        obs_shape=obs_shape,
        n_actions=n_actions,
    )
