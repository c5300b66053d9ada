"""The task of learning a given environment, between `train_ppo` and the program."""

import dataclasses
import functools
from typing import Any

from ksim.config import Config, ConfigError
from ksim.config.concerns import check_fsdp_divides
from ksim.envs import Environment
from ksim.functional.config import PPOConfig, RunnerConfig
from ksim.parallel import Partitioner, SingleDevice, select_devices
from ksim.rl import PPO
from ksim.task import DistributedPPOConfig, DistributedPPOTask
from ksim.training.start import Start


class EnvironmentTask(DistributedPPOTask[DistributedPPOConfig]):
    """Trains in a given environment with given options; there are no hooks to write."""

    def __init__(
        self, environment: Environment, ppo_config: PPOConfig, runner_config: RunnerConfig
    ) -> None:
        """Checks all options, against each other and against the devices.

        Raises:
          ConfigError: if they do not fit; it says what to write instead.
        """
        ppo_config.validate()
        runner_config.validate()
        num_devices = len(select_devices(runner_config.num_devices))
        _check_devices(ppo_config, runner_config, num_devices)
        self._given = environment
        self._ppo_config = ppo_config
        self.is_progress_shown = runner_config.is_progress_shown
        self.num_updates = _num_updates(ppo_config, runner_config, num_devices)
        super().__init__(_task_config(ppo_config, runner_config, num_devices, self.num_updates))

    def get_environment(self) -> Environment:
        """Returns the environment that was given."""
        return self._given

    def get_algorithm(self) -> PPO:
        """Returns PPO; its minibatches are pieces of rollouts, unless the network has a memory."""
        algorithm = super().get_algorithm()
        assert isinstance(algorithm, PPO)
        if self._ppo_config.has_memory:
            return algorithm
        n_minibatches = self._ppo_config.n_minibatches
        return dataclasses.replace(algorithm, num_batches=n_minibatches, num_segments=n_minibatches)

    def minibatch_shape(self) -> tuple[int, int]:
        """See `RLTask.minibatch_shape`; a piece of the rollout of every environment."""
        num_steps, num_envs = super().minibatch_shape()
        if self._ppo_config.has_memory:
            return num_steps, num_envs
        return num_steps // self._ppo_config.n_minibatches, num_envs

    def get_partitioner(self) -> Partitioner:
        """Returns the partitioner; for one device without the warning that it is only one."""
        if self.config.num_devices == 1:
            return SingleDevice(select_devices(1)[0], self.config.pmap_axis_name)
        return super().get_partitioner()

    def settle(self) -> None:
        """Starts a new run; nothing is read or written, and the options are checked already."""
        self.start = Start()


def _task_config(
    ppo_config: PPOConfig, runner_config: RunnerConfig, num_devices: int, num_updates: int
) -> DistributedPPOConfig:
    """Returns the same options as a task's config."""
    num_envs = num_devices * runner_config.num_envs
    num_batches = ppo_config.n_minibatches if ppo_config.has_memory else 1
    return DistributedPPOConfig(
        **_shared_options(ppo_config),
        num_devices=num_devices,
        fsdp_devices=runner_config.fsdp_devices,
        fsdp_min_size_mbytes=runner_config.fsdp_min_size_mbytes,
        num_envs=num_envs,
        batch_size=num_envs // num_batches,
        rollout_length_frames=ppo_config.n_steps,
        num_passes=ppo_config.n_epochs,
        max_steps=num_updates,
        is_compilation_cached=runner_config.is_compilation_cached,
        seed=runner_config.seed,
    )


def _shared_options(config: Config) -> dict[str, Any]:
    """Returns the options that tasks have too, under the same names."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name in _task_option_names()
    }


@functools.cache
def _task_option_names() -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(DistributedPPOConfig))


def _check_devices(ppo_config: PPOConfig, runner_config: RunnerConfig, num_devices: int) -> None:
    check_fsdp_divides(runner_config.fsdp_devices, num_devices)
    num_envs = runner_config.num_envs
    if ppo_config.has_memory and num_envs % ppo_config.n_minibatches:
        above = -(-num_envs // ppo_config.n_minibatches) * ppo_config.n_minibatches
        raise ConfigError(
            f"network=gru deals whole environments to minibatches, but num_envs={num_envs} on each"
            f" device is not divisible by n_minibatches={ppo_config.n_minibatches}. Write"
            f" num_envs={above}, or n_minibatches=1."
        )


def _num_updates(ppo_config: PPOConfig, runner_config: RunnerConfig, num_devices: int) -> int:
    per_update = num_devices * runner_config.num_envs * ppo_config.n_steps
    num_updates = runner_config.total_timesteps // per_update
    if num_updates < 1:
        raise ConfigError(
            f"total_timesteps={runner_config.total_timesteps} is less than one update:"
            f" {num_devices} device(s) * num_envs={runner_config.num_envs} *"
            f" n_steps={ppo_config.n_steps} = {per_update}. Write total_timesteps={per_update} or"
            " more, or lower num_envs or n_steps."
        )
    return num_updates
