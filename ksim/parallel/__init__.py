"""Devices, partitioners and collectives. Knows JAX; knows no physics and no learning."""

from ksim.parallel.collectives import (
    are_replicas_identical,
    average_replicas,
    mean_over_devices,
    replica_drift,
    replica_fingerprint,
    sum_over_devices,
)
from ksim.parallel.devices import select_devices
from ksim.parallel.keys import environment_keys
from ksim.parallel.partitioner import Partitioner, Placement
from ksim.parallel.pmap import Pmap
from ksim.parallel.single_device import SingleDevice
from ksim.parallel.synchronisation import Synchronisation

__all__ = [
    "Partitioner",
    "Placement",
    "Pmap",
    "SingleDevice",
    "Synchronisation",
    "are_replicas_identical",
    "average_replicas",
    "environment_keys",
    "mean_over_devices",
    "replica_drift",
    "replica_fingerprint",
    "select_devices",
    "sum_over_devices",
]
