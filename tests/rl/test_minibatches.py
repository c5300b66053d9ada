"""Stratified minibatches: the same members whatever the device count."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim.rl import minibatch_members

NUM_ENVS, NUM_PASSES = 48, 3

deal = jax.jit(minibatch_members, static_argnums=(2, 3))


@functools.cache
def members_of(num_batches, seed=0, num_devices=1, num_passes=NUM_PASSES):
    """Returns the global ids `[num_updates, batch_size]` of all devices side by side."""
    key, env_id = jax.random.key(seed), jnp.arange(NUM_ENVS, dtype=jnp.int32)
    local_ids = [np.asarray(part) for part in jnp.split(env_id, num_devices)]
    members = [np.asarray(deal(key, part, num_batches, num_passes)) for part in local_ids]
    return np.concatenate([part[row] for part, row in zip(local_ids, members, strict=True)], 1)


@pytest.mark.parametrize("num_batches", [1, 2, 6])
def test_every_pass_deals_every_environment_once(num_batches):
    members = members_of(num_batches)
    assert members.shape == (NUM_PASSES * num_batches, NUM_ENVS // num_batches)
    for one_pass in members.reshape(NUM_PASSES, -1):
        assert sorted(one_pass) == list(range(NUM_ENVS))


@pytest.mark.parametrize("num_batches", [2, 6])
def test_every_minibatch_takes_one_member_of_every_group(num_batches):
    for minibatch in members_of(num_batches):
        assert (minibatch // num_batches).tolist() == list(range(NUM_ENVS // num_batches))


@pytest.mark.parametrize(("num_batches", "num_devices"), [(6, 2), (6, 4), (6, 8), (2, 8)])
def test_members_do_not_depend_on_the_device_count(num_batches, num_devices):
    np.testing.assert_array_equal(
        members_of(num_batches, num_devices=num_devices), members_of(num_batches)
    )


def test_passes_groups_and_keys_deal_differently():
    num_batches = 6
    passes = members_of(num_batches).reshape(NUM_PASSES, num_batches, -1)
    places = passes % num_batches  # the member of each group that a minibatch takes
    assert not np.array_equal(passes[0], passes[1])
    assert not np.array_equal(passes[1], passes[2])
    assert len(np.unique(places[0], axis=1).T) > 1
    assert not np.array_equal(members_of(num_batches, seed=1), members_of(num_batches, seed=0))


def test_every_order_of_a_group_is_as_likely():
    # 2 batches: which of two neighbours comes first is a fair coin, 24 groups x 100 passes.
    first = members_of(2, num_passes=100).reshape(100, 2, -1)[:, 0] % 2
    assert first.mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / first.size))
