"""Brings arrays whose parts lie in several processes whole to the host of each."""

import itertools
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

LARGE_BYTES = 2**20
"""Size from which an array travels alone, so that joining takes little memory."""


def whole_array(array: jax.Array) -> np.ndarray:
    """Returns a global array on the host, whichever processes hold its shards."""
    if array.is_fully_replicated:
        return np.array(array.addressable_data(0))
    if array.is_fully_addressable:
        return np.array(array)
    return np.array(multihost_utils.process_allgather(array, tiled=True))


def whole_arrays(arrays: Sequence[jax.Array]) -> list[np.ndarray]:
    """Returns arrays as `whole_array`, with few messages; each is split by its first axis.

    A message takes half a millisecond and more, however short it is, and the sums of a rollout are
    many arrays (23 of the walking task): those that are small travel as one.
    """
    small = [place for place, array in enumerate(arrays) if _travels_with_others(array)]
    joined = dict(zip(small, _joined([arrays[place] for place in small]), strict=True))
    return [
        joined[place] if place in joined else whole_array(array)
        for place, array in enumerate(arrays)
    ]


def _travels_with_others(array: jax.Array) -> bool:
    is_here = array.is_fully_addressable or array.is_fully_replicated
    return not is_here and array.nbytes < LARGE_BYTES


def _joined(arrays: Sequence[jax.Array]) -> list[np.ndarray]:
    """Returns arrays whole: the bytes of each device's shards, side by side, are one message."""
    if not arrays:
        return []
    shards = [{s.device: np.asarray(s.data) for s in array.addressable_shards} for array in arrays]

    def row(device: jax.Device) -> jax.Array:
        content = b"".join(by_device[device].tobytes() for by_device in shards)
        return jax.device_put(np.frombuffer(content, np.uint8)[None], device)

    sharding = arrays[0].sharding
    ends = list(itertools.accumulate(array.nbytes // sharding.num_devices for array in arrays))
    rows = jax.make_array_from_single_device_arrays(
        (sharding.num_devices, ends[-1]), sharding, [row(device) for device in shards[0]]
    )
    parts = np.split(whole_array(rows), ends[:-1], axis=1)
    return [
        np.ascontiguousarray(part).view(array.dtype).reshape(array.shape)
        for part, array in zip(parts, arrays, strict=True)
    ]
