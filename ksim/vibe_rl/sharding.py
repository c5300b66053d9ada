"""Meshes of devices, and layouts of arrays on them."""

from ksim.parallel import (
    activation_sharding_constraint,
    data_sharding,
    fsdp_sharding,
    make_mesh,
    replicate_sharding,
    set_mesh,
)

__all__ = [
    "activation_sharding_constraint",
    "data_sharding",
    "fsdp_sharding",
    "make_mesh",
    "replicate_sharding",
    "set_mesh",
]
