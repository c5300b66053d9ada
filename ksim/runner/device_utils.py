"""How many devices there are, and arrays on them."""

from ksim.parallel import (
    get_num_devices,
    replicate,
    replicate_on_mesh,
    shard_pytree,
    split_key_across_devices,
    unreplicate,
)

__all__ = [
    "get_num_devices",
    "replicate",
    "replicate_on_mesh",
    "shard_pytree",
    "split_key_across_devices",
    "unreplicate",
]
