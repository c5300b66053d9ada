"""Random keys that belong to environments, never to devices."""

import jax
from jaxtyping import Array, Int, Key


def environment_keys(
    key: Key[Array, ""], env_ids: Int[Array, "num_envs"]
) -> Key[Array, "num_envs"]:
    """Returns one key for each environment, from its *global* id.

    An environment gets the same key on any device, so that the device count changes the speed of a
    run and not its result.

    Args:
      key: the key of the run, or of one iteration of it.
      env_ids: `[num_envs]` global environment ids.

    Returns:
      `[num_envs]` keys.
    """
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, env_ids)
