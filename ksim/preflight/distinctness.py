"""Checks that every environment of a run draws its own random numbers."""

import dataclasses
from typing import Any

import jax
import numpy as np

from ksim.config import ConfigError
from ksim.parallel import Placement, environment_keys
from ksim.training.program import TRAIN, Program
from ksim.xla.key_data import is_key


@dataclasses.dataclass(frozen=True)
class Distinctness:
    """Counts of different environments, each at most the number of environments.

    Attributes:
      num_keys: different random keys.
      num_randomized: different randomized physics; `None` if nothing is randomized.
      num_states: different states after a rollout.
    """

    num_keys: int
    num_randomized: int | None
    num_states: int


def count_distinct(program: Program, seed: int, env_state: Any) -> Distinctness:
    """Compares the environments of all devices with each other.

    Args:
      program: the program.
      seed: seed of the run.
      env_state: the environments after a rollout, in the partitioner's layout.

    Raises:
      ConfigError: if two environments share an id, and so a random key.
    """
    partitioner = program.partitioner
    keys_of = partitioner.partition(
        lambda key, env_ids: (env_ids, environment_keys(key, env_ids)),
        (Placement.REPLICATED, Placement.SHARDED),
        (Placement.SHARDED, Placement.SHARDED),
    )
    key = partitioner.replicate_state(jax.random.fold_in(jax.random.key(seed), TRAIN))
    env_ids, keys = partitioner.gather_environments(keys_of(key, env_state.env_id))
    num_keys = num_distinct_rows(keys)
    if num_keys < program.num_envs:
        ids, counts = np.unique(env_ids, return_counts=True)
        repeated = ", ".join(map(str, ids[counts > 1][:5]))
        raise ConfigError(
            f"{program.num_envs} environments have only {num_keys} different random keys: the ids"
            f" {repeated} occur more than once. _get_initial_env_state must give every environment"
            " its own; write env_id=jnp.arange(num_envs)."
        )
    states = partitioner.gather_environments(env_state.environment)
    randomized = jax.vmap(program.environment.randomized_physics)(states)
    has_randomized = bool(jax.tree.leaves(randomized))
    return Distinctness(
        num_keys=num_keys,
        num_randomized=num_distinct_rows(randomized) if has_randomized else None,
        num_states=num_distinct_rows(states),
    )


def num_distinct_rows(tree: Any) -> int:
    """Returns the number of different rows of a pytree of arrays `[num_rows, ...]`.

    A row is that of all arrays together, compared bit by bit.
    """
    columns = []
    for leaf in jax.tree.leaves(tree):
        words = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        if words.size:
            rows = np.ascontiguousarray(words.reshape(words.shape[0], -1))
            columns.append(rows.view(np.uint8).reshape(words.shape[0], -1))
    if not columns:
        return 0
    return len(np.unique(np.concatenate(columns, axis=1), axis=0))
