"""Number of devices, and arrays on them."""

from ksim.functional.replication import (
    get_num_devices,
    replicate,
    split_key_across_devices,
    unreplicate,
)
from ksim.parallel import replicate_on_mesh, shard_pytree

__all__ = [
    "get_num_devices",
    "replicate",
    "replicate_on_mesh",
    "shard_pytree",
    "split_key_across_devices",
    "unreplicate",
]
