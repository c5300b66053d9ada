"""The per-device program, which a task builds and the loop runs."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Key

from ksim.envs import Environment
from ksim.nn import Model, RunningMoments
from ksim.parallel import (
    Partitioner,
    Placement,
    are_replicas_identical,
    gather_shards,
    has_shards,
    replica_drift,
    sum_over_devices,
)
from ksim.rl import Algorithm, EnvState, Policy, RolloutStatistics, Trajectory
from ksim.rl.algorithm import Memory, check_memory
from ksim.terms.curricula.base import Curriculum
from ksim.terms.term import TrainingProgress
from ksim.training.acting import Acting
from ksim.training.traced_function import TracedFunction
from ksim.training.train_state import TrainState

REPLICATED, SHARDED = Placement.REPLICATED, Placement.SHARDED

Rollout = Callable[
    [Policy, EnvState, Any, Key[Array, ""]], tuple[Trajectory, RolloutStatistics, EnvState, Any]
]

# Streams of random numbers, all from the key of the run.
INITIALIZE, TRAIN, EVALUATE = range(3)
# Within an iteration.
ACT, LEARN = range(2)
# At the start of a run, beside the keys of the model (0) and of the curriculum (1).
LEARNER, RUN_MEMORY = 2, 3


@struct.dataclass
class RolloutRequest:
    """Purpose of a rollout: an input of the compiled program, so that one program serves all.

    Attributes:
      is_deterministic: `[]` whether the policy takes its mode.
      stream: `[]` int32 stream of random numbers.
      index: `[]` int32 which rollout of that stream.
    """

    is_deterministic: Bool[Array | np.ndarray, ""]
    stream: Int[Array | np.ndarray, ""]
    index: Int[Array | np.ndarray, ""]


class PartitionedProgram(NamedTuple):
    """The functions of a run on all devices, in the partitioner's layout, not yet compiled.

    Attributes:
      rollout: acts with whole parameters; communicates nothing.
      update: learns.
      gather: makes whole parameters of shards, before a rollout; `None` if all are whole.
      rollout_options: what XLA is told when it compiles the rollout.
    """

    rollout: Any
    update: Any
    gather: Any
    rollout_options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Program:
    """A task, built: everything that the loop needs, and nothing of the task class.

    Attributes:
      task_name: names the run's folder.
      environment: the environment, one copy.
      partitioner: runs the per-device program.
      algorithm: learns from trajectories.
      curriculum: sets the level.
      num_envs: environments over all devices.
      rollout_length: control steps in a rollout.
      has_normalizer: whether observations are normalized.
      initial_model: makes the model of a new run from a key.
      initial_env_state: makes the environments of a new run from a key, in the global layout.
      rollout: acts on one device's environments.
      acting: where the rollout runs, and when.
      notes: what to remember of options that were settled for these devices, by name.
      kept_options: values of such options that a continued run keeps; stored with checkpoints.
    """

    task_name: str
    environment: Environment
    partitioner: Partitioner
    algorithm: Algorithm
    curriculum: Curriculum
    num_envs: int
    rollout_length: int
    has_normalizer: bool
    initial_model: Callable[[Key[Array, ""]], Model]
    initial_env_state: Callable[[Key[Array, ""]], EnvState]
    rollout: Rollout
    acting: Acting
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kept_options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def actor(self) -> Partitioner:
        """Partitioner that acts."""
        return self.acting.partitioner(self.partitioner)

    def to_actor(self, train_state: Any) -> Any:
        """Returns the state that acts, from the one that learns, each in its own layout."""
        return self.acting.to_actor(self.partitioner, train_state)

    def to_learner(
        self, trajectory: Trajectory, statistics: RolloutStatistics
    ) -> tuple[Trajectory, RolloutStatistics]:
        """Returns a rollout in the learner's layout, given it in the actor's."""
        return self.acting.to_learner(self.partitioner, trajectory, statistics)

    def initial_train_state(self, seed: int) -> TrainState:
        """Returns the state of a new run, on the host's default device."""
        state: TrainState = self._new_train_state(jnp.uint32(seed))
        return state

    def new_environments(self, seed: int, stream: int = TRAIN) -> EnvState:
        """Returns environments about to start their first episode, in the global layout."""
        env_state: EnvState = self._new_environments(jnp.uint32(seed), jnp.int32(stream))
        return env_state

    @property
    def train_state_shapes(self) -> TrainState:
        """Shapes and dtypes of the train state; computes nothing."""
        shapes: TrainState = self._new_train_state.shapes
        return shapes

    @property
    def environment_shapes(self) -> EnvState:
        """Shapes and dtypes of all environments; computes nothing."""
        shapes: EnvState = self._new_environments.shapes
        return shapes

    def new_memory(self) -> Memory:
        """Returns the algorithm's memory of a new run, in the global layout."""
        shapes = self.memory_shapes
        return self._new_memory() if jax.tree.leaves(shapes) else shapes

    @property
    def memory_shapes(self) -> Memory:
        """Shapes and dtypes of the algorithm's memory of all environments; computes nothing.

        Raises:
          ValueError: if its arrays do not begin with the axis of environments.
        """
        shapes = self._new_memory.shapes
        check_memory(self.algorithm, shapes, self.num_envs)
        return shapes

    @functools.cached_property
    def num_acting_only(self) -> int:
        """Iterations at the beginning of a run that act and remember, and do not learn."""
        return self.algorithm.iteration(self.rollout_length).num_acting_only

    @functools.cached_property
    def _new_memory(self) -> TracedFunction:
        return TracedFunction(
            lambda: self.algorithm.initial_memory(self.environment, self.num_envs)
        )

    @functools.cached_property
    def _new_train_state(self) -> TracedFunction:
        return TracedFunction(self._initial_train_state, jnp.uint32(0))

    @functools.cached_property
    def _new_environments(self) -> TracedFunction:
        def create(seed: Array, stream: Array) -> EnvState:
            key = jax.random.fold_in(jax.random.key(seed), stream)
            env_state = self.initial_env_state(key)
            if not self.curriculum.is_per_environment:
                return env_state
            level = jnp.full_like(env_state.level, self.curriculum.initial_level)
            return dataclasses.replace(env_state, level=level)

        return TracedFunction(create, jnp.uint32(0), jnp.int32(0))

    def _initial_train_state(self, seed: Array) -> TrainState:
        key = jax.random.key(seed)
        first_key = jax.random.fold_in(key, INITIALIZE)
        model_key, curriculum_key = jax.random.split(first_key)
        shapes = self.environment.observation_shapes()
        return TrainState(
            learner=self.algorithm.init(
                self.initial_model(model_key), jax.random.fold_in(first_key, LEARNER)
            ),
            normalizer=RunningMoments.create(shapes) if self.has_normalizer else None,
            curriculum_carry=self.curriculum.init(curriculum_key),
            level=jnp.float32(self.curriculum.initial_level),
            iteration=jnp.int32(0),
            key=key,
            run_memory=self.environment.initial_run_memory(
                jax.random.fold_in(first_key, RUN_MEMORY)
            ),
        )

    @functools.cached_property
    def state_specs(self) -> Any:
        """Placement of each leaf of the train state between updates, decided from its shape."""
        shapes = self.train_state_shapes
        everywhere = jax.tree.map(lambda _: PartitionSpec(), shapes)
        return dataclasses.replace(everywhere, learner=self.algorithm.specs(shapes.learner))

    def rollout_request(self, stream: int, index: int) -> Any:
        """Returns the request for a rollout, in the actor's layout.

        Args:
          stream: `TRAIN`, which explores, or `EVALUATE`, which does not.
          index: which rollout of that stream.
        """
        return self.actor.replicate_state(
            RolloutRequest(
                is_deterministic=np.array(stream == EVALUATE),
                stream=np.array(stream, np.int32),
                index=np.array(index, np.int32),
            )
        )

    def place_train_state(self, train_state: TrainState) -> Any:
        """Puts a whole train state onto the devices, in the partitioner's layout."""
        return self.partitioner.place_state(train_state, self.state_specs)

    def placed_shapes(self) -> tuple[Any, Any, Any]:
        """Returns shapes, dtypes and shardings of a run's states after placement.

        Returns:
          Of the train state, of the environments, and of the train state that acts: `None` if that
          is the first.
        """
        return (
            self.partitioner.placed_shapes(self.train_state_shapes, self.state_specs),
            self.actor.placed_shapes(self.environment_shapes, SHARDED),
            self.acting.placed_shapes(self.train_state_shapes),
        )

    def partitioned(self) -> PartitionedProgram:
        """Returns the per-device program for all devices."""
        has_own_state = self.acting.has_own_state
        specs = self.state_specs
        part = self.algorithm.acting_part(specs.learner)
        whole = jax.tree.map(lambda _: PartitionSpec(), part)
        acting = dataclasses.replace(
            specs, learner=self.algorithm.with_acting_part(specs.learner, whole)
        )
        rollout = self.actor.partition(
            self.rollout_on_device,
            inputs=(acting, SHARDED, REPLICATED),
            outputs=(SHARDED, SHARDED, SHARDED),
            # A checkpoint may be saved of where it began, while it acts ahead.
            donate=() if has_own_state else (1,),
        )
        update = self.partitioner.partition(
            self.update_on_device,
            inputs=(specs, SHARDED, SHARDED, SHARDED),
            outputs=(specs, SHARDED, REPLICATED),
            donate=(0, 1),
        )
        gather = None
        if has_shards(part) and not has_own_state:
            gather = self.partitioner.partition(
                lambda shards: gather_shards(shards, part), (part,), whole
            )
        is_on_cpu = self.actor.devices[0].platform == "cpu"
        options = self.environment.compiler_options if is_on_cpu else {}
        return PartitionedProgram(rollout, update, gather, options)

    def rollout_on_device(
        self, train_state: TrainState, env_state: EnvState, request: RolloutRequest
    ) -> tuple[EnvState, Trajectory, RolloutStatistics]:
        """Acts for one rollout on one device; communicates nothing."""
        stream_key = jax.random.fold_in(train_state.key, request.stream)
        key = jax.random.fold_in(jax.random.fold_in(stream_key, request.index), ACT)
        policy = self.algorithm.policy(
            train_state.learner, train_state.normalizer, request.is_deterministic
        )
        env_state = self._informed(env_state, train_state, request)
        trajectory, statistics, env_state, model_carry = self.rollout(
            policy, env_state, env_state.model_carry, key
        )
        env_state = dataclasses.replace(env_state, model_carry=model_carry, run_memory=())
        return env_state, trajectory, statistics

    def _informed(
        self, env_state: EnvState, train_state: TrainState, request: RolloutRequest
    ) -> EnvState:
        """Returns the environments with the run's level and memory in them."""
        level = jnp.full_like(env_state.level, train_state.level)
        if self.curriculum.is_per_environment:  # evaluations are at the mean level
            level = jnp.where(request.stream == TRAIN, env_state.level, level)

        def repeat(leaf: Array) -> Array:
            return jnp.broadcast_to(leaf, (*level.shape, *leaf.shape))

        run_memory = jax.tree.map(repeat, train_state.run_memory)
        return dataclasses.replace(env_state, level=level, run_memory=run_memory)

    def update_on_device(
        self,
        train_state: TrainState,
        memory: Memory,
        trajectory: Trajectory,
        statistics: RolloutStatistics,
    ) -> tuple[TrainState, Memory, dict[str, Float[Array, ""]]]:
        """Learns from one rollout on one device, together with the others."""
        axis_name = self.partitioner.axis_name
        learner, memory, metrics = self._learn(train_state, memory, trajectory)
        normalizer = train_state.normalizer
        if normalizer is not None:
            normalizer = normalizer.update(trajectory.observations, trajectory.is_valid, axis_name)
        iteration = train_state.iteration + 1
        total = sum_over_devices(statistics, axis_name)
        progress = self._progress(total, iteration)
        level, curriculum_carry = self.curriculum(progress, train_state.curriculum_carry)
        contributions = jax.tree.map(lambda leaf: leaf[0], total.contributions)
        run_memory = self.environment.after_rollout(train_state.run_memory, contributions, progress)
        train_state = TrainState(
            learner=learner,
            normalizer=normalizer,
            curriculum_carry=curriculum_carry,
            level=level,
            iteration=iteration,
            key=train_state.key,
            run_memory=run_memory,
        )
        is_identical = are_replicas_identical(train_state, axis_name, self.state_specs)
        if "device/replica_drift" not in metrics:  # the algorithm lets nothing drift
            metrics["device/replica_drift"] = self._unexpected_drift(train_state, is_identical)
        metrics |= {"curriculum/level": level, "device/is_identical": is_identical}
        return train_state, memory, metrics

    def _learn(
        self, train_state: TrainState, memory: Memory, trajectory: Trajectory
    ) -> tuple[Any, Memory, dict[str, Float[Array, ""]]]:
        """Remembers a rollout, and learns if the run does already; metrics are 0 until then."""
        normalizer, iteration = train_state.normalizer, train_state.iteration
        stream_key = jax.random.fold_in(train_state.key, TRAIN)
        key = jax.random.fold_in(jax.random.fold_in(stream_key, iteration), LEARN)
        memory = self.algorithm.remember(memory, trajectory, normalizer)

        def learn(learner: Any, memory: Memory) -> Any:
            return self.algorithm.update(learner, memory, trajectory, normalizer, iteration, key)

        if self.num_acting_only == 0:
            return learn(train_state.learner, memory)  # type: ignore[no-any-return]

        def wait(learner: Any, memory: Memory) -> Any:
            _, _, metrics = jax.eval_shape(learn, learner, memory)
            return learner, memory, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)

        is_waiting = iteration < self.num_acting_only
        return lax.cond(is_waiting, wait, learn, train_state.learner, memory)  # type: ignore[no-any-return]

    def _unexpected_drift(
        self, train_state: TrainState, is_identical: Bool[Array, ""]
    ) -> Float[Array, ""]:
        """Returns the drift of parameters between devices; sends them only if they differ."""
        specs = self.algorithm.acting_part(self.state_specs.learner)
        return lax.cond(
            is_identical,
            lambda _: jnp.float32(0),
            lambda part: replica_drift(part, self.partitioner.axis_name, specs),
            self.algorithm.acting_part(train_state.learner),
        )

    def _progress(self, total: RolloutStatistics, iteration: Int[Array, ""]) -> TrainingProgress:
        num_episodes = jnp.maximum(total.num_episodes[0], 1)
        return TrainingProgress(
            iteration=iteration,
            num_episodes=total.num_episodes[0],
            mean_episode_length_seconds=(
                total.episode_length[0] / num_episodes * self.environment.ctrl_dt
            ),
            mean_episode_return=total.episode_return[0] / num_episodes,
            terminations={name: count[0] for name, count in total.terminations.items()},
            mean_level=total.level[0] / self.num_envs,
        )
