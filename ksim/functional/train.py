"""PPO as a function of an environment."""

import dataclasses
import io
import time
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key
from rich.console import Console

from ksim.envs import Environment
from ksim.functional.agent import PPOAgentState
from ksim.functional.config import PPOConfig, RunnerConfig
from ksim.functional.environment_task import EnvironmentTask
from ksim.functional.history import HistoryRecorder, PPOMetricsHistory
from ksim.functional.interface import EnvParams, check_kind, joined_environment
from ksim.functional.joined_observations import JOINED
from ksim.reporting.status import RunStatus
from ksim.rl import EnvState
from ksim.storage.state_leaves import check_specs_fit, leaf_specs
from ksim.training.interrupt import GracefulStop
from ksim.training.loop import LoopSettings, TrainingLoop
from ksim.training.program import Program
from ksim.training.run_state import RunState
from ksim.training.start import Start
from ksim.training.train_state import TrainState
from ksim.xla.compilation_cache import enable_compilation_cache


@struct.dataclass
class PPOTrainState:
    """State at the end of a training; environments of all devices are in the order of their ids.

    Attributes:
      agent_state: the learned state.
      env_state: the environments, in the midst of their episodes.
      obs: `[n_devices * num_envs, *obs_shape]` their observations.
      rng: `[]` the key of the run.
    """

    agent_state: PPOAgentState
    env_state: EnvState
    obs: Float[Array, "total_envs ..."]
    rng: Key[Array, ""]


def train_ppo(
    env: Environment,
    env_params: EnvParams | None = None,
    *,
    ppo_config: PPOConfig | None = None,
    runner_config: RunnerConfig | None = None,
    obs_shape: tuple[int, ...] | None = None,
    n_actions: int | None = None,
    agent_state: PPOAgentState | None = None,
) -> tuple[PPOTrainState, PPOMetricsHistory]:
    """Trains a policy in an environment, on all devices, and writes no file.

    The same program as that of the task classes runs. An update is a rollout of `n_steps` steps in
    every environment and `n_epochs` passes over it, and

        n_updates = total_timesteps // (n_devices * num_envs * n_steps).

    The number of devices changes the speed, not the result, as long as `n_devices * num_envs`
    stays the same.

    Args:
      env: one copy of any `Environment`, wrapped in `AutoResetWrapper` or not.
      env_params: the parameters that `make` returned beside it; nothing is read from them, since
        an environment holds its own numbers.
      ppo_config: options of learning; `ksim.vibe_rl.algorithms.ppo.PPOConfig`.
      runner_config: length and devices of the training; `ksim.vibe_rl.runner.RunnerConfig`.
      obs_shape: the expected shape of the observation. Several observations are one vector, in
        the order of their names.
      n_actions: the expected number of choices.
      agent_state: an agent to train further, as another training returned it or `load_checkpoint`
        read it. Environments, random numbers and the schedule of the learning rate start again.
        `None` starts with an untrained agent.

    Returns:
      The state at the end, and metrics of every update.

    Raises:
      TypeError: if an argument is of another kind.
      ValueError: if options do not fit together, `total_timesteps` is less than one update, or the
        environment does not look as expected. Nothing has been compiled then.
      CheckpointMismatchError: if `agent_state` is of other networks; it names the leaves.
      FloatingPointError: if a loss is not a finite number any more.
    """
    _check_kinds(env_params, ppo_config, runner_config, agent_state)
    ppo_config = PPOConfig() if ppo_config is None else ppo_config
    runner_config = RunnerConfig() if runner_config is None else runner_config
    environment = joined_environment(env, obs_shape, n_actions)
    task = EnvironmentTask(environment, ppo_config, runner_config)
    if runner_config.is_compilation_cached:
        enable_compilation_cache()
    program, recorder = task.build(), HistoryRecorder()
    known = None if agent_state is None else _start_with(agent_state, program, runner_config.seed)
    console = None if runner_config.is_progress_shown else Console(file=io.StringIO())
    with RunStatus(task.num_updates, console) as status:
        _introduce(status, env, program, task)
        settings = _loop_settings(runner_config.seed, task.num_updates)
        loop = TrainingLoop(program, settings, None, [recorder], status)
        # Never entered: Ctrl-C raises KeyboardInterrupt, as in any other function.
        state = loop.run(Start(train_state=known), GracefulStop(), time.monotonic())
    return _train_state(program, state), recorder.history()


def _introduce(
    status: RunStatus, env: Environment, program: Program, task: EnvironmentTask
) -> None:
    status.message(_introduction(env, program))
    for name, note in program.notes.items():
        status.message(f"{name}={getattr(task.config, name)}: {note}")


def _check_kinds(env_params: Any, ppo_config: Any, runner_config: Any, agent_state: Any) -> None:
    for name, value, kind, instead in (
        ("env_params", env_params, EnvParams, "what make(...) returned, or be left out"),
        ("ppo_config", ppo_config, PPOConfig, "a ksim.vibe_rl.algorithms.ppo.PPOConfig"),
        ("runner_config", runner_config, RunnerConfig, "a ksim.vibe_rl.runner.RunnerConfig"),
        ("agent_state", agent_state, PPOAgentState, "the agent_state of what train_ppo returned"),
    ):
        if value is not None:
            check_kind(name, value, kind, instead)


def _start_with(agent_state: PPOAgentState, program: Program, seed: int) -> TrainState:
    """Returns a new train state with the learned state of an agent."""
    new = program.initial_train_state(seed)
    expected = PPOAgentState(new.learner, new.normalizer)
    check_specs_fit(leaf_specs(expected), leaf_specs(agent_state), "The agent_state")
    # The structure of the new one: it holds the networks' functions, too.
    given = jax.tree.unflatten(jax.tree.structure(expected), jax.tree.leaves(agent_state))
    scale = new.learner.learning_rate_scale
    learner = dataclasses.replace(given.learner, learning_rate_scale=scale)
    return dataclasses.replace(new, learner=learner, normalizer=given.normalizer)


def _introduction(env: Environment, program: Program) -> str:
    devices = program.partitioner.devices
    name = type(env.unwrapped).__name__
    return (
        f"Training in {name}: {program.num_envs} environments on {len(devices)}"
        f" {devices[0].device_kind} device(s), {program.rollout_length} steps in an update."
    )


def _loop_settings(seed: int, num_updates: int) -> LoopSettings:
    """Returns the settings of a loop that neither saves nor evaluates."""
    return LoopSettings(
        seed=seed,
        max_steps=num_updates,
        eval_every_n_steps=None,
        eval_length_seconds=None,
    )


def _train_state(program: Program, state: RunState) -> PPOTrainState:
    trained = program.partitioner.unreplicate_state(state.train_state)
    env_state = program.partitioner.gather_environments(state.env_state)
    trained, env_state = jax.tree.map(jnp.asarray, (trained, env_state))
    return PPOTrainState(
        agent_state=PPOAgentState(trained.learner, trained.normalizer),
        env_state=env_state,
        obs=env_state.observations[JOINED],
        rng=trained.key,
    )
