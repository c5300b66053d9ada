"""Meshes of devices: an axis that splits data, and one that also splits large parameters."""

import contextlib
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from ksim.config import ConfigError
from ksim.config.concerns import check_fsdp_divides

BATCH_AXIS = "batch"
"""Axis along which devices hold the same parameters and different data."""

FSDP_AXIS = "fsdp"
"""Axis along which devices hold different shards of large parameters, and different data."""


def make_mesh(num_fsdp_devices: int = 1, num_devices: int | None = None) -> Mesh:
    """Returns a grid of devices `("batch", "fsdp")`, in JAX's order.

    Args:
      num_fsdp_devices: devices that share one copy of the large parameters; 1 replicates all.
      num_devices: number of `jax.devices()` to use; `None` takes all of them.

    Returns:
      A mesh of shape `(num_devices / num_fsdp_devices, num_fsdp_devices)`.

    Raises:
      ConfigError: if there are fewer devices than asked for, or they do not split evenly.
    """
    devices = jax.devices()
    if num_devices is None:
        num_devices = len(devices)
    if not 1 <= num_devices <= len(devices):
        raise ConfigError(
            f"num_devices={num_devices}, but there are {len(devices)} device(s)."
            f" Write num_devices={len(devices)} or less, at least 1."
        )
    return mesh_of(devices[:num_devices], num_fsdp_devices)


def mesh_of(
    devices: Sequence[jax.Device], num_fsdp_devices: int = 1, batch_axis: str = BATCH_AXIS
) -> Mesh:
    """Returns the grid of these devices; neighbours share parameters.

    Args:
      devices: the devices, in the order of the environments.
      num_fsdp_devices: devices that share one copy of the large parameters.
      batch_axis: name of the first axis.

    Raises:
      ConfigError: if the devices do not split evenly.
    """
    check_fsdp_divides(num_fsdp_devices, len(devices), "num_fsdp_devices")
    grid = np.array(devices).reshape(-1, num_fsdp_devices)
    # Explicit axes, the default of jax.make_mesh, would put shardings into the types of arrays.
    return Mesh(grid, (batch_axis, FSDP_AXIS), axis_types=(AxisType.Auto, AxisType.Auto))


@contextlib.contextmanager
def set_mesh(num_fsdp_devices: int = 1, num_devices: int | None = None) -> Iterator[Mesh]:
    """Makes a mesh, and sets it for all that is compiled in the `with` block.

    Args:
      num_fsdp_devices: as in `make_mesh`.
      num_devices: as in `make_mesh`.

    Yields:
      The mesh.

    Raises:
      ConfigError: as `make_mesh` does.
    """
    mesh = make_mesh(num_fsdp_devices, num_devices)
    with jax.set_mesh(mesh):
        yield mesh
