"""Deals environments to stratified minibatches: the same ones for any number of devices."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key


def minibatch_members(
    key: Key[Array, ""],
    env_id: Int[Array, "num_envs"],
    num_batches: int,
    num_passes: int,
) -> Int[Array, "num_updates group"]:
    """Deals the environments of one device to minibatches.

    Environments form groups of `num_batches` consecutive global ids. In every pass each group
    deals its members to different minibatches, by a permutation that depends only on the key, the
    pass and the group's global number. So every minibatch takes one member of every group: the
    same number of environments from each device, and the same environments for any number of
    devices.

    Args:
      key: the key of this iteration, the same on every device.
      env_id: global ids of this device's environments: consecutive, in whole groups.
      num_batches: minibatches in a pass.
      num_passes: passes over the batch.

    Returns:
      The *local* indices of the environments of each update in the iteration.
    """
    first_of_group = jnp.arange(0, env_id.shape[0], num_batches)
    group_id = env_id[first_of_group] // num_batches

    def deal(pass_index: Array, group: Array) -> Int[Array, "num_batches"]:
        group_key = jax.random.fold_in(jax.random.fold_in(key, pass_index), group)
        return jax.random.permutation(group_key, num_batches)

    deal_groups = jax.vmap(deal, in_axes=(None, 0))
    passes = jax.vmap(deal_groups, in_axes=(0, None))(jnp.arange(num_passes), group_id)
    members = passes + first_of_group[None, :, None]  # [num_passes, group, num_batches]
    return members.transpose(0, 2, 1).reshape(num_passes * num_batches, -1)
