"""The base of every task: hooks that describe a robot and its learning, built into a program."""

from __future__ import annotations

import functools
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ksim.config import ConfigError, parse_command_line
from ksim.config.names import snake_case
from ksim.task.config import RLConfig
from ksim.task.engine_choice import check_machine_may_run_warp
from ksim.task.mujoco_hooks import MujocoHooks

if TYPE_CHECKING:
    from pathlib import Path

    import optax
    from jaxtyping import PRNGKeyArray

    from ksim.envs import Environment
    from ksim.nn import Model, ModelDefinition
    from ksim.parallel import Partitioner, Synchronisation
    from ksim.physics import PhysicsEngine, PhysicsModel
    from ksim.preflight.verification import Preflight
    from ksim.rl import Algorithm, EnvState, Iteration, Policy, RolloutStatistics, Trajectory
    from ksim.terms.curricula.base import Curriculum
    from ksim.training.evaluation import Episodes
    from ksim.training.program import Program
    from ksim.training.run import RunResult
    from ksim.training.start import Start

ConfigT = TypeVar("ConfigT", bound=RLConfig)


class RLTask(MujocoHooks, Generic[ConfigT]):
    """A robot, its goals, and its learning.

    Subclass `PPOTask` (or `DistributedPPOTask` for several devices) rather than this class, and
    override hooks: `get_mujoco_model`, `get_actuators`, `get_observations`, `get_rewards`,
    `get_terminations`, and as needed the others. For a world that is not MuJoCo override
    `get_environment` alone. Hooks that give terms return a dictionary by name or a list.
    """

    config_class: ClassVar[type[RLConfig]] = RLConfig
    """Base class of the task's config."""

    start: Start
    """Start of the run: found and verified whenever the task is built."""

    is_progress_shown: bool = True
    """True to show progress while the task is built."""

    def __init__(self, config: ConfigT) -> None:
        """Checks the options, without starting JAX.

        Raises:
          ConfigError: if an option has an impossible value, or one that this machine cannot run,
            with what to write instead.
          TypeError: if `config` is not a config of this task.
        """
        self._check_config(config)
        config.validate()
        if config.mjx_impl == "warp":
            check_machine_may_run_warp()
        self.config = config
        self._notes: dict[str, str] = {}

    @classmethod
    def _check_config(cls, config: Any) -> None:
        """Raises TypeError unless `config` is a config of this task."""
        if isinstance(config, type) and issubclass(config, cls.config_class):
            raise TypeError(
                f"{cls.__name__} got the class {config.__name__}, and a config is needed."
                f" Write {cls.__name__}({config.__name__}()), or launch({config.__name__}())."
            )
        if not isinstance(config, cls.config_class):
            raise TypeError(
                f"{cls.__name__} got a {type(config).__name__}, and a config that derives from"
                f" {cls.config_class.__name__} is needed. Write, above it,"
                f" class MyConfig(ksim.{cls.config_class.__name__})."
            )

    # Hooks beside those of `MujocoHooks`.

    def get_curriculum(self, physics_model: PhysicsModel | None) -> Curriculum:
        """Returns the curriculum of difficulty; the full task from the start by default."""
        from ksim.terms.curricula.constant import ConstantCurriculum

        return ConstantCurriculum(level=1.0)

    def get_engine(self, physics_model: PhysicsModel) -> PhysicsEngine:
        """Returns the physics engine of the options `engine` and `mjx_impl`."""
        from ksim.task.engine_choice import make_engine

        return make_engine(self.config, self.partitioner.devices, physics_model)

    def get_environment(self) -> Environment:
        """Returns the environment: by default the MuJoCo model with the terms of the hooks."""
        from ksim.task.mujoco_world import build_mujoco_environment

        environment, notes = build_mujoco_environment(self, self.config)
        self._notes |= notes
        return environment

    # Its learning.

    def get_model(self, environment: Environment) -> ModelDefinition:
        """Returns the actor-critic of the network options, without its parameters."""
        from ksim.task.networks import default_model

        return default_model(environment, self.config)

    @abstractmethod
    def get_optimizer(self) -> optax.GradientTransformation:
        """Returns the optimizer."""

    def get_synchronisation(self) -> Synchronisation:
        """Returns the synchronisation of devices; none is needed on one."""
        from ksim.parallel import Synchronisation

        return Synchronisation(self.partitioner.axis_name)

    @abstractmethod
    def get_algorithm(self) -> Algorithm:
        """Returns the learning algorithm."""

    def get_partitioner(self) -> Partitioner:
        """Returns the partitioner of the per-device program: one device."""
        from ksim.parallel import SingleDevice, select_devices

        return SingleDevice(select_devices()[0])

    # Underneath.

    @functools.cached_property
    def environment(self) -> Environment:
        """The environment, built once and checked for the types that training relies on."""
        from ksim.envs.mujoco.environment import MujocoEnvironment
        from ksim.envs.type_check import check_environment_types
        from ksim.training.metrics import check_metric_names, check_reward_names

        environment = self.get_environment()
        # Terms have been checked already, and tracing a robot takes a second.
        if isinstance(environment, MujocoEnvironment):
            check_reward_names(environment.terms.rewards)
        else:
            check_metric_names(environment, check_environment_types(environment).metrics)
        return environment

    @functools.cached_property
    def partitioner(self) -> Partitioner:
        """The partitioner of the per-device program, chosen once."""
        return self.get_partitioner()

    @functools.cached_property
    def algorithm(self) -> Algorithm:
        """The learning algorithm, built once."""
        return self.get_algorithm()

    @functools.cached_property
    def iteration(self) -> Iteration:
        """One iteration of the algorithm, of the length in the options."""
        return self.algorithm.iteration(self.config.rollout_length(self.environment.ctrl_dt))

    @functools.cached_property
    def curriculum(self) -> Curriculum:
        """The curriculum, built once."""
        return self.get_curriculum(self.environment.physics_model)

    def minibatch_shape(self) -> tuple[int, int]:
        """Returns the steps and the environments of a minibatch, over all devices."""
        return self.config.rollout_length(self.environment.ctrl_dt), self.config.batch_size

    def _get_initial_model(self, rng: PRNGKeyArray) -> Model:
        """Creates the initial model: a pytree whose array leaves are parameters."""
        from ksim.nn import bind

        return bind(self.get_model(self.environment), rng)

    def _get_initial_env_state(self, rng: PRNGKeyArray) -> EnvState:
        """Creates the environments, about to start their first episodes."""
        import jax

        from ksim.rl import initial_env_state

        def policy(key: PRNGKeyArray) -> Policy:
            learner = self.algorithm.init(self._get_initial_model(key), key)
            return self.algorithm.policy(learner, None, jax.numpy.bool_(True))

        carry = jax.eval_shape(policy, rng).initial_carry()  # traced for its shapes alone
        return initial_env_state(self.environment, carry, self.config.num_envs, rng)

    def _rollout(
        self, model: Policy, env_state: EnvState, model_carry: Any, rng: PRNGKeyArray
    ) -> tuple[Trajectory, RolloutStatistics, EnvState, Any]:
        """Acts with the policy in one device's environments, inside the per-device program."""
        from ksim.rl import rollout

        return rollout(
            self.environment,
            model,
            env_state,
            model_carry,
            rng,
            self.iteration.num_steps,
            self.curriculum,
        )

    def _checked_rollout(
        self, model: Policy, env_state: EnvState, model_carry: Any, rng: PRNGKeyArray
    ) -> tuple[Trajectory, RolloutStatistics, EnvState, Any]:
        """Calls `_rollout`; rejects one that ignores a curriculum of each environment.

        Checked while JAX traces it: levels that a loop leaves alone come out as the same array.
        """
        trajectory, statistics, next_state, next_carry = self._rollout(
            model, env_state, model_carry, rng
        )
        if self.curriculum.is_per_environment and next_state.level is env_state.level:
            raise ValueError(
                f"{type(self).__name__}._rollout returns the levels of its environments as they"
                f" were, and {type(self.curriculum).__name__} sets a level for each of them. Write"
                " ksim.rl.rollout(..., curriculum=self.curriculum); or return a curriculum with one"
                " level for the run from get_curriculum."
            )
        return trajectory, statistics, next_state, next_carry

    def build(self) -> Program:
        """Builds the program that the loop runs.

        Raises:
          ValueError, TypeError, KeyError: if the hooks or options do not fit together.
        """
        self.settle()
        from ksim.task.automatic import (
            MATMUL_PRECISION,
            settle_matmul_precision,
            settle_total_timesteps,
        )
        from ksim.training.actor import InTurn
        from ksim.training.program import Program

        if self.config.total_timesteps is not None:
            length = self.config.rollout_length(self.environment.ctrl_dt)
            self.config, self._notes["max_steps"] = settle_total_timesteps(self.config, length)
        if self.config.matmul_precision == "auto":
            self.config, self._notes["matmul_precision"] = settle_matmul_precision(
                self, self.start, lambda: self.environment.observation_shapes()
            )

        environment = self.environment
        return Program(
            task_name=snake_case(type(self).__name__.removesuffix("Task")),
            environment=environment,
            partitioner=self.partitioner,
            acting=InTurn(),
            algorithm=self.algorithm,
            curriculum=self.curriculum,
            num_envs=self.config.num_envs,
            notes=self._notes,
            rollout_length=self.iteration.num_steps,
            has_normalizer=self.config.is_observation_normalized,
            initial_model=self._get_initial_model,
            initial_env_state=self._get_initial_env_state,
            rollout=self._checked_rollout,
            kept_options={MATMUL_PRECISION: self.config.matmul_precision},
        )

    def settle(self) -> None:
        """Finds the start of the run, and settles the options that depend on the machine.

        Raises:
          ValueError: if something does not fit, with what to write instead.
        """
        from ksim.training.start import Start, check_places

        check_places(self.config, snake_case(type(self).__name__.removesuffix("Task")))
        self.start = Start.of(self.config)
        if self.config.is_num_envs_auto:
            from ksim.task.automatic import settle_automatic

            self.config, notes = settle_automatic(self, self.start)
            self._notes |= notes

    def verify_setup(self) -> Preflight:
        """Compiles the task, runs two iterations of it on its devices, and shows the results.

        Those are the memory on each device, taken and free, speed, communication, and the counts
        of different environments, and a checklist. Nothing is kept.

        Returns:
          The results.

        Raises:
          ConfigError: if the task cannot run, with what to write instead.
        """
        from ksim.preflight.verification import verify

        program = self.build()
        self._show_setup()
        return verify(program, self.config, self.config.num_batches, self._on_one_device())

    def _on_one_device(self) -> Callable[[], Program] | None:
        """Returns a function that builds the task on one device; `None` if it is there already."""
        return None

    def _show_setup(self) -> None:
        """Shows the environments on each device; on one device there is nothing to show."""

    def run(self) -> RunResult | Preflight | dict[str, float] | Path | None:
        """Trains, verifies, evaluates, views or renders, by the option `run_mode`.

        Returns:
          The result of the run for `train`, of the trial for `verify`, the metrics for `evaluate`,
          the film's path for `render`.
        """
        if self.config.run_mode == "verify":
            preflight = self.verify_setup()
            preflight.require_passed()
            return preflight
        from ksim.training.garbage_collection import no_garbage_collection

        with no_garbage_collection():
            program = self.build()
        from ksim.training import run

        if self.config.run_mode == "train":
            if self.config.is_overlapped:
                from ksim.training.overlap import overlapped

                program = overlapped(program)
            return run.train(program, self.config, self.start)
        if self.config.run_mode == "evaluate":
            return run.evaluate_checkpoint(program, self.config, self.start).metrics()
        from ksim.render import watching

        if self.config.run_mode == "render":
            return watching.film_checkpoint(program, self.config, self.start)
        watching.view_checkpoint(program, self.config, self.start)
        return None

    def evaluate_episodes(self, observations: Sequence[str] = ()) -> Episodes:
        """Runs the first episode of every environment with a checkpoint's deterministic policy.

        `load_from_ckpt_path` (or `run_dir`) names the checkpoint, `eval_length_seconds` the length.

        Args:
          observations: names of the observations to keep.

        Returns:
          The episodes, for an analysis of one's own.

        Raises:
          ConfigError: if no checkpoint is named, or it does not fit.
          KeyError: if there is no such observation.
        """
        from ksim.training.run import evaluate_checkpoint

        return evaluate_checkpoint(self.build(), self.config, self.start, observations)

    @classmethod
    def launch(cls, config: ConfigT, arguments: Sequence[str] | None = None) -> Any:
        """Runs the task from the command line.

        Args:
          config: the task's options and their defaults.
          arguments: YAML files and option=value overrides; `None` takes the command line's.

        Returns:
          The result of `run`.

        Raises:
          SystemExit: with status 2, after a message, if an option cannot be used. Nothing has been
            compiled then, and there is no run directory.
        """
        from ksim.reporting.broken_pipe import quiet_broken_pipe
        from ksim.reporting.terminal_logging import logging_to_terminal
        from ksim.training.garbage_collection import no_garbage_collection

        cls._check_config(config)
        arguments = sys.argv[1:] if arguments is None else arguments
        try:
            with quiet_broken_pipe(), logging_to_terminal():
                with no_garbage_collection():
                    task = cls(parse_command_line(config, arguments))
                return task.run()
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
