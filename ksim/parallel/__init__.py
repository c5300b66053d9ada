"""Devices, partitioners and collectives; knows JAX, and neither physics nor learning."""

from ksim.parallel.averaging.compression import Compression
from ksim.parallel.averaging.speed import CollectiveSpeed, measure_collectives
from ksim.parallel.averaging.synchronisation import Synchronisation
from ksim.parallel.averaging.traffic import Traffic, num_floats, parameter_sizes
from ksim.parallel.collectives import (
    AxisName,
    average_replicas,
    mean_over_devices,
    sum_over_devices,
)
from ksim.parallel.devices.memory import free_bytes, host_free_bytes
from ksim.parallel.devices.selection import select_devices
from ksim.parallel.environment_keys import environment_keys
from ksim.parallel.layouts import (
    activation_sharding_constraint,
    data_sharding,
    fsdp_sharding,
    replicate_on_mesh,
    replicate_sharding,
    shard_pytree,
)
from ksim.parallel.mesh import make_mesh, set_mesh
from ksim.parallel.parameter_shards import (
    ParameterShards,
    gather_shards,
    has_shards,
    split_axis,
)
from ksim.parallel.partitioners.base import Partitioner, Placement
from ksim.parallel.partitioners.pmap import Pmap
from ksim.parallel.partitioners.shard_map import ShardMap
from ksim.parallel.partitioners.single_device import SingleDevice
from ksim.parallel.replicas import (
    are_replicas_identical,
    largest_deviation,
    replica_drift,
    replica_fingerprint,
)

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
    "are_replicas_identical",
    "average_replicas",
    "data_sharding",
    "environment_keys",
    "free_bytes",
    "fsdp_sharding",
    "gather_shards",
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
    "replicate_on_mesh",
    "replicate_sharding",
    "select_devices",
    "set_mesh",
    "shard_pytree",
    "split_axis",
    "sum_over_devices",
]
