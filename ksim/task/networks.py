"""Creates the networks that the options describe."""

from collections.abc import Iterable

from ksim.config.concerns import NetworkConfig
from ksim.envs import DiscreteActions, Environment
from ksim.nn import ActorCritic


def default_model(
    environment: Environment,
    config: NetworkConfig,
    actor_observations: Iterable[str] | None = None,
    critic_observations: Iterable[str] | None = None,
) -> ActorCritic:
    """Returns the actor-critic that the network options describe.

    `matmul_precision=auto` is settled when a task is built, and is float32 before.

    Args:
      environment: environment of the observations and the actions.
      config: the options.
      actor_observations: observations of the actor; all by default.
      critic_observations: observations of the critic; all by default.
    """
    space = environment.action_space
    is_settled = config.matmul_precision != "auto"
    is_discrete = isinstance(space, DiscreteActions)
    return ActorCritic.create(
        environment.observation_shapes(),
        space.count if isinstance(space, DiscreteActions) else space.size,
        distribution="categorical" if is_discrete else config.action_distribution,
        network=config.network,
        hidden_sizes=config.hidden_sizes,
        activation=config.activation,
        conv_channels=config.conv_channels,
        conv_kernels=config.conv_kernels,
        conv_strides=config.conv_strides,
        actor_observations=actor_observations,
        critic_observations=critic_observations,
        init_std=config.init_std,
        matmul_precision=config.matmul_precision if is_settled else "float32",
    )
