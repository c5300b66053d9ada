"""Random keys belong to global environment ids."""

import jax
import jax.numpy as jnp
import numpy as np

from ksim.parallel import environment_keys


def words(keys):
    return np.asarray(jax.random.key_data(keys))


def test_key_of_an_environment_is_folded_from_its_id():
    key = jax.random.key(5)
    keys = environment_keys(key, jnp.array([0, 7, 3]))
    for row, env_id in enumerate((0, 7, 3)):
        np.testing.assert_array_equal(words(keys[row]), words(jax.random.fold_in(key, env_id)))


def test_all_environments_have_different_keys():
    keys = words(environment_keys(jax.random.key(5), jnp.arange(1000)))
    assert len(np.unique(keys, axis=0)) == 1000


def test_split_of_the_ids_does_not_matter():
    key, env_id = jax.random.key(5), jnp.arange(12)
    whole = words(environment_keys(key, env_id))
    for num_parts in (2, 3, 4):
        parts = [words(environment_keys(key, part)) for part in jnp.split(env_id, num_parts)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_key_of_the_run_matters():
    one, other = (environment_keys(jax.random.key(seed), jnp.arange(4)) for seed in (0, 1))
    assert not np.any(np.all(words(one) == words(other), axis=-1))
