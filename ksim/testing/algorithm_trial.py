"""An algorithm under trial, and how it acts and learns on the devices of a partitioner."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Key

from ksim.envs import Environment
from ksim.nn import RunningMoments
from ksim.parallel import Partitioner, Placement
from ksim.parallel.replicas import replica_fingerprint
from ksim.rl import Algorithm, EnvState, Iteration, Policy, Trajectory, initial_env_state, rollout
from ksim.rl.algorithm import Learner, Memory
from ksim.testing.rules import Trial
from ksim.training.metrics import RUN_METRICS

REPLICATED, SHARDED = Placement.REPLICATED, Placement.SHARDED
SAME_TYPES = "an iteration keeps structure, shapes and dtypes"
DRIFT = "device/replica_drift"  # the one metric of a run that an algorithm may measure itself


class AlgorithmTrial(Trial):
    """An algorithm under trial, and what it is tried with.

    Attributes:
      algorithm: the algorithm.
      environment: one copy of the environment.
      num_envs: environments over all devices.
      iteration: what an iteration of it is.
      normalizer: of the observations, or `None`.
      learner: as `init` made it.
      memory: as `initial_memory` made it.
    """

    iteration: Iteration
    learner: Learner
    memory: Memory

    def __init__(
        self,
        algorithm: Algorithm,
        environment: Environment,
        num_envs: int,
        is_observation_normalized: bool,
    ) -> None:
        super().__init__(type(algorithm).__name__)
        if not isinstance(algorithm, Algorithm):
            raise TypeError(
                f"check_algorithm tries an algorithm, found {algorithm!r:.80}. Give an object of a"
                " class that derives from ksim.Algorithm."
            )
        self.algorithm, self.environment, self.num_envs = algorithm, environment, num_envs
        moments = RunningMoments.create(environment.observation_shapes())
        self.normalizer = moments if is_observation_normalized else None

    def policy(self, learner: Learner, is_deterministic: bool = False) -> Policy:
        """Returns what acts."""
        return self.algorithm.policy(learner, self.normalizer, jnp.bool_(is_deterministic))

    def new_environments(self, key: Key[Array, ""]) -> EnvState:
        """Returns environments about to start their first episode, at the highest level."""
        carry = self.policy(self.learner).initial_carry()
        start = initial_env_state(self.environment, carry, self.num_envs, key)
        memory = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (self.num_envs, *jnp.shape(x))),
            self.environment.initial_run_memory(key),
        )
        return dataclasses.replace(start, level=jnp.ones(self.num_envs), run_memory=memory)


class Learned(NamedTuple):
    """Result of an iteration, on the host.

    Attributes:
      learner: the whole learner.
      memory: of all environments.
      metrics: by name.
      fingerprints: `[num_devices]` of each leaf of the learner and of the metrics, by its path; of
        those that lie whole on every device.
    """

    learner: Learner
    memory: Memory
    metrics: dict[str, Any]
    fingerprints: dict[str, np.ndarray]


class Devices:
    """Runs an algorithm on the devices of a partitioner; takes and returns arrays of the host."""

    def __init__(self, trial: AlgorithmTrial, partitioner: Partitioner) -> None:
        self._trial, self.partitioner = trial, partitioner
        algorithm = trial.algorithm
        self._specs = algorithm.specs(trial.learner)
        whole = jax.tree.map(lambda _: PartitionSpec(), algorithm.acting_part(self._specs))
        self._acting_specs = algorithm.with_acting_part(self._specs, whole)
        partition = partitioner.partition
        self._act = partition(
            self._act_on_device,
            inputs=(self._acting_specs, REPLICATED, SHARDED, REPLICATED),
            outputs=(SHARDED, SHARDED),
        )
        self._remember = partition(
            self._remember_on_device,
            inputs=(SHARDED, SHARDED, REPLICATED),
            outputs=SHARDED,
        )
        self._learn = partition(
            self._learn_on_device,
            inputs=(self._specs, SHARDED, SHARDED, REPLICATED, REPLICATED, REPLICATED),
            outputs=(self._specs, SHARDED, REPLICATED, REPLICATED),
        )

    def act(
        self, learner: Learner, env_state: EnvState, key: Key[Array, ""]
    ) -> tuple[Trajectory, EnvState]:
        """Acts for one rollout; returns the whole trajectory, and where the environments are."""
        partitioner = self.partitioner
        placed, env_state = self._act(
            partitioner.place_state(learner, self._acting_specs),
            self._replicated(self._trial.normalizer),
            partitioner.shard_environments(env_state),
            self._replicated(key),
        )
        in_time = partitioner.gather_steps(_fields(placed, True))
        at_once = partitioner.gather_environments(_fields(placed, False))
        return Trajectory(**in_time, **at_once), partitioner.gather_environments(env_state)

    def remember(self, memory: Memory, trajectory: Trajectory) -> Memory:
        """Returns the memory with a trajectory added."""
        partitioner = self.partitioner
        remembered = self._remember(
            partitioner.shard_environments(memory),
            self._parts(trajectory),
            self._replicated(self._trial.normalizer),
        )
        return partitioner.gather_environments(remembered)

    def learn(
        self,
        learner: Learner,
        memory: Memory,
        trajectory: Trajectory,
        iteration: int,
        key: Key[Array, ""],
    ) -> Learned:
        """Remembers a trajectory and learns, as a run does."""
        partitioner = self.partitioner
        placed, memory, metrics, fingerprints = self._learn(
            partitioner.place_state(learner, self._specs),
            partitioner.shard_environments(memory),
            self._parts(trajectory),
            self._replicated(self._trial.normalizer),
            self._replicated(jnp.int32(iteration)),
            self._replicated(key),
        )
        return Learned(
            partitioner.unreplicate_state(placed),
            partitioner.gather_environments(memory),
            partitioner.unreplicate_state(metrics),
            partitioner.unreplicate_state(fingerprints),
        )

    def _replicated(self, tree: Any) -> Any:
        return self.partitioner.replicate_state(tree)

    def _parts(self, trajectory: Trajectory) -> Any:
        return self.partitioner.place_parts(trajectory.parts(self.partitioner.num_devices))

    def _act_on_device(
        self,
        learner: Learner,
        normalizer: RunningMoments | None,
        env_state: EnvState,
        key: Key[Array, ""],
    ) -> tuple[Trajectory, EnvState]:
        trial = self._trial
        policy = trial.algorithm.policy(learner, normalizer, jnp.bool_(False))
        trajectory, _, env_state, carry = rollout(
            trial.environment,
            policy,
            env_state,
            env_state.model_carry,
            key,
            trial.iteration.num_steps,
        )
        return trajectory, dataclasses.replace(env_state, model_carry=carry)

    def _remember_on_device(
        self, memory: Memory, trajectory: Trajectory, normalizer: RunningMoments | None
    ) -> Memory:
        remembered = self._trial.algorithm.remember(memory, trajectory, normalizer)
        before, after = {"memory": memory}, {"memory": remembered}
        advice = "let remember return what initial_memory returns, or the memory that came."
        self._trial.require_same_types(before, after, SAME_TYPES, advice, TypeError)
        return remembered

    def _learn_on_device(
        self,
        learner: Learner,
        memory: Memory,
        trajectory: Trajectory,
        normalizer: RunningMoments | None,
        iteration: Array,
        key: Key[Array, ""],
    ) -> tuple[Learner, Memory, dict[str, Array], dict[str, Array]]:
        trial = self._trial
        memory = self._remember_on_device(memory, trajectory, normalizer)
        result = trial.algorithm.update(learner, memory, trajectory, normalizer, iteration, key)
        is_tuple = type(result) is tuple
        found = f"it returns {f'a tuple of {len(result)}' if is_tuple else f'{result!r:.80}'}"
        rule, advice = "update returns three things", "write `return learner, memory, metrics`."
        trial.require(is_tuple and len(result) == 3, rule, found, advice, TypeError)
        learned, kept, metrics = result
        before, after = ({"learner": a, "memory": b} for a, b in ((learner, memory), result[:2]))
        advice = "let update return what init and initial_memory return."
        trial.require_same_types(before, after, SAME_TYPES, advice, TypeError)
        _check_metrics(trial, metrics)
        return learned, kept, metrics, self._fingerprints(learned, metrics)

    def _fingerprints(self, learner: Learner, metrics: dict[str, Array]) -> dict[str, Array]:
        """Returns `[num_devices]` for each leaf that is whole on every device."""
        specs = jax.tree.leaves(self._specs)
        leaves = jax.tree_util.tree_leaves_with_path({"learner": learner})
        whole = [leaf for leaf, spec in zip(leaves, specs, strict=True) if not any(spec)]
        whole += jax.tree_util.tree_leaves_with_path({"metrics": metrics})
        prints = jnp.stack([replica_fingerprint(leaf) for _, leaf in whole])
        by_device = lax.all_gather(prints, self.partitioner.axis_name)
        return {
            jax.tree_util.keystr(path): by_device[:, index] for index, (path, _) in enumerate(whole)
        }


def _check_metrics(trial: AlgorithmTrial, metrics: Any) -> None:
    rule, advice = "metrics are float32 numbers by name", 'write {"loss/mine": jnp.mean(loss)}.'
    is_dict = isinstance(metrics, dict) and all(isinstance(name, str) for name in metrics)
    trial.require(is_dict, rule, f"update returns {metrics!r:.80}", advice, TypeError)
    for name, value in metrics.items():
        shape, dtype = jnp.shape(value), jnp.result_type(value)
        found = f"{name} is {dtype.name}{list(shape)}"
        trial.require((shape, dtype) == ((), jnp.float32), rule, found, advice, TypeError)
        found = f'every run logs "{name}"'
        is_own = name in RUN_METRICS and name != DRIFT
        advice_name = f'write "policy/{name.split("/")[-1]}", for instance.'
        trial.require(not is_own, "metrics have names of their own", found, advice_name, ValueError)


def _fields(trajectory: Trajectory, is_in_time: bool) -> dict[str, Any]:
    of_environments = ("final", "initial_carry", "env_id")
    return {
        name: value
        for name, value in vars(trajectory).items()
        if (name not in of_environments) == is_in_time
    }
