"""The contract of a partitioner: one per-device program, several ways to run it."""

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax.sharding import PartitionSpec

from ksim.config.concerns import check_divides
from ksim.parallel.collectives import AxisName
from ksim.parallel.parameter_shards import ParameterShards

Tree = TypeVar("Tree")


class Placement(enum.Enum):
    """Placement of an argument or a result of a per-device program on the devices."""

    REPLICATED = "replicated"
    """Every device holds the same values."""
    SHARDED = "sharded"
    """The leading axis is split over the devices, in the order of the global ids."""


class Partitioner(ABC):
    """Runs a per-device program on the devices of a run.

    A per-device program is a function over the environments of *one* device. It averages over
    devices with named-axis collectives (`jax.lax.pmean(x, partitioner.axis_name)`), and it never
    asks how many devices there are. Arrays given to and returned by a partitioned program are in
    the partitioner's own layout: make them with `replicate_state` and `shard_environments`, read
    them with `unreplicate_state` and `gather_environments`.
    """

    def __init__(self, devices: Sequence[jax.Device], axis_name: AxisName) -> None:
        if not devices:
            raise ValueError("A partitioner needs at least one device.")
        self.devices = tuple(devices)
        self.axis_name = axis_name

    @property
    def num_devices(self) -> int:
        """Number of devices that the program runs on."""
        return len(self.devices)

    @property
    def group_size(self) -> int:
        """Number of devices that share one copy of the large parameters."""
        return 1

    @property
    def group_axis_name(self) -> str | None:
        """Axis over the devices that share parameters; `None` if none do."""
        return None

    def parameter_specs(self, parameters: Any) -> Any:
        """Returns the placement of parameters between updates: a `PartitionSpec` for each.

        Args:
          parameters: pytree of arrays or `jax.ShapeDtypeStruct`, whole.
        """
        return jax.tree.map(lambda _: PartitionSpec(), parameters)

    def parameter_shards(self, parameters: Any) -> ParameterShards:
        """Returns the sharing of parameters among devices, for use inside the program."""
        if self.group_axis_name is None:
            return ParameterShards()
        return ParameterShards(
            axis_name=self.group_axis_name,
            size=self.group_size,
            shapes=parameters,
            specs=self.parameter_specs(parameters),
        )

    @abstractmethod
    def partition(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Placement | Any],
        outputs: Placement | Any | Sequence[Placement | Any],
        donate: Sequence[int] = (),
    ) -> Any:
        """Compiles a per-device program for all devices.

        Args:
          function: the program; positional arguments only. Within it the axis `axis_name` is bound.
          inputs: the placement of each argument: a `Placement`, or a pytree of `PartitionSpec`.
          outputs: the placement of the result, or of each element of a tuple of results.
          donate: the arguments whose memory the results may reuse; they are deleted by the call.

        Returns:
          A jitted function of the same arguments (with `.lower` for ahead-of-time compilation).
        """

    @abstractmethod
    def replicate_state(self, tree: Tree) -> Tree:
        """Copies a pytree of arrays to every device. The input stays valid."""

    def place_state(self, tree: Tree, specs: Any) -> Tree:
        """Places a pytree of whole arrays on the devices by its specs. The input stays valid.

        Args:
          tree: the arrays.
          specs: pytree of `PartitionSpec`, like `tree`.
        """
        return self.replicate_state(tree)

    @abstractmethod
    def shard_environments(self, tree: Tree) -> Tree:
        """Splits arrays `[num_envs, ...]` over the devices by their leading axis.

        Raises:
          ConfigError: if a leading axis is not divisible by the number of devices.
        """

    @abstractmethod
    def placed_shapes(self, shapes: Tree, placement: Placement | Any) -> Tree:
        """Returns shapes, dtypes and shardings after placement, for ahead-of-time compilation.

        Args:
          shapes: pytree of `jax.ShapeDtypeStruct`: of a whole state, or of environments `[num_envs,
            ...]`.
          placement: their placement: a `Placement`, or a pytree of `PartitionSpec` like `shapes`.
        """

    @abstractmethod
    def place_parts(self, tree: Tree) -> Tree:
        """Gives each device its own part of arrays `[num_devices, ...]`."""

    @abstractmethod
    def unreplicate_state(self, tree: Tree) -> Tree:
        """Returns a placed state as one whole copy on the host.

        Arrays become NumPy arrays; typed keys stay typed.
        """

    @abstractmethod
    def gather_environments(self, tree: Tree) -> Tree:
        """Returns sharded arrays in the global layout `[num_envs, ...]`, on the host."""

    @abstractmethod
    def gather_steps(self, tree: Tree) -> Tree:
        """Returns sharded results `[T, num_envs / num_devices, ...]`, time first, on the host.

        The program of each device returned its own environments; the result `[T, num_envs, ...]`
        has them all, in the order of their ids.
        """

    def check_divisible(self, tree: Any) -> None:
        """Raises ConfigError if a leading axis of `tree` does not split evenly over the devices."""
        for leaf in jax.tree.leaves(tree):
            check_divides("Number of environments", "num_envs", leaf.shape[0], self.num_devices)
