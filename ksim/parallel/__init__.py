"""Devices, partitioners and collectives. Knows JAX; knows no physics and no learning."""

from ksim.parallel.collectives import (
    AxisName,
    are_replicas_identical,
    average_replicas,
    largest_deviation,
    mean_over_devices,
    replica_drift,
    replica_fingerprint,
    sum_over_devices,
)
from ksim.parallel.compression import Compression
from ksim.parallel.devices import select_devices
from ksim.parallel.keys import environment_keys
from ksim.parallel.memory import free_bytes, host_free_bytes
from ksim.parallel.mesh import make_mesh, set_mesh
from ksim.parallel.partitioner import Partitioner, Placement
from ksim.parallel.pmap import Pmap
from ksim.parallel.probe import CollectiveSpeed, measure_collectives
from ksim.parallel.replication import (
    get_num_devices,
    replicate,
    split_key_across_devices,
    unreplicate,
)
from ksim.parallel.shard_map import ShardMap
from ksim.parallel.shardings import (
    activation_sharding_constraint,
    data_sharding,
    fsdp_sharding,
    replicate_on_mesh,
    replicate_sharding,
    shard_pytree,
)
from ksim.parallel.shards import (
    ParameterShards,
    are_copies_identical,
    copies_drift,
    gather_shards,
    has_shards,
    split_axis,
)
from ksim.parallel.single_device import SingleDevice
from ksim.parallel.synchronisation import Synchronisation
from ksim.parallel.traffic import Traffic, num_floats, parameter_sizes

__all__ = [
    "AxisName",
    "CollectiveSpeed",
    "Compression",
    "ParameterShards",
    "Partitioner",
    "Placement",
    "Pmap",
    "ShardMap",
    "SingleDevice",
    "Synchronisation",
    "Traffic",
    "activation_sharding_constraint",
    "are_copies_identical",
    "are_replicas_identical",
    "average_replicas",
    "copies_drift",
    "data_sharding",
    "environment_keys",
    "free_bytes",
    "fsdp_sharding",
    "gather_shards",
    "get_num_devices",
    "has_shards",
    "host_free_bytes",
    "largest_deviation",
    "make_mesh",
    "mean_over_devices",
    "measure_collectives",
    "num_floats",
    "parameter_sizes",
    "replica_drift",
    "replica_fingerprint",
    "replicate",
    "replicate_on_mesh",
    "replicate_sharding",
    "select_devices",
    "set_mesh",
    "shard_pytree",
    "split_axis",
    "split_key_across_devices",
    "sum_over_devices",
    "unreplicate",
]
