"""Takes optimizer steps of one network, together with the other devices of a run."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from ksim.config import ConfigError
from ksim.parallel import (
    Synchronisation,
    Traffic,
    average_replicas,
    num_floats,
    parameter_sizes,
)
from ksim.rl.optimizers import (
    check_optimizer_takes_shards,
    optimizer_state_specs,
    optimizer_update,
)

Metrics = dict[str, Float[Array, ""]]
Loss = Callable[[Any], tuple[Float[Array, ""], Metrics]]
"""One device's loss of whole parameters, and its metrics; knows of no other device."""


@struct.dataclass
class Network:
    """A network in training.

    Attributes:
      parameters: pytree of arrays.
      optimizer_state: the optimizer's state of these parameters.
    """

    parameters: Any
    optimizer_state: Any


@struct.dataclass
class GradientSum:
    """Gradients that wait for the optimizer.

    Attributes:
      total: sum of the gradients, like the parameters.
      count: `[]` number of gradients.
    """

    total: Any
    count: Float[Array, ""]

    def add(self, gradients: Any) -> "GradientSum":
        """Returns the sum with these gradients."""
        return GradientSum(jax.tree.map(jnp.add, self.total, gradients), self.count + 1)

    def mean(self) -> Any:
        """Returns the mean of the gradients."""
        return jax.tree.map(lambda leaf: leaf / self.count.astype(leaf.dtype), self.total)

    def zeros_like(self) -> "GradientSum":
        """Returns the sum of no gradients."""
        return jax.tree.map(jnp.zeros_like, self)


@struct.dataclass
class UpdateStep:
    """The place of an update in its iteration; arrays `[num_updates]` before a scan.

    Attributes:
      index: `[]` int32 number of the update, from 0.
      is_due: `[]` whether the network is updated in it (`Updates.every`).
      is_synchronising: `[]` whether devices agree on it.
      is_last: `[]` whether it is the network's last one.
      has_moved: `[]` whether the network has taken an earlier step in the iteration.
    """

    index: Int[Array, ""]
    is_due: Bool[Array, ""]
    is_synchronising: Bool[Array, ""]
    is_last: Bool[Array, ""]
    has_moved: Bool[Array, ""]


@struct.dataclass
class Progress:
    """A network between two updates of an iteration.

    Attributes:
      network: the network after the last update.
      waiting: gradients that wait; `None` if none ever do.
      residuals: compression residuals of this device's gradients; `()` without compression.
    """

    network: Network
    waiting: GradientSum | None
    residuals: Any


Stepped = tuple[Progress, Metrics, Float[Array, ""], Float[Array, ""] | None]
"""Network, agreed metrics, norm of the gradient, drift of replicas."""


class Outcome(NamedTuple):
    """The result of an update.

    Attributes:
      progress: the network after the update.
      metrics: metrics of this device's loss.
      agreed: metrics that steer the updates, averaged over devices on synchronising updates.
      gradient_norm: `[]` norm of the gradient that the optimizer was or will be given.
      drift: `[]` largest distance of a replica's parameter from the mean; `None` if replicas
        cannot drift.
    """

    progress: Progress
    metrics: Metrics
    agreed: Metrics
    gradient_norm: Float[Array, ""]
    drift: Float[Array, ""] | None


@dataclasses.dataclass(frozen=True)
class Updates:
    """Differentiates the local loss of a network, and steps it in agreement with all devices.

    An algorithm has one for every network that it trains. Inside a per-device program:

        steps = updates.steps(num_updates)
        progress = updates.begin(network)
        progress, ... = lax.scan(lambda progress, step: updates.take(progress, loss, step), ...)
        network = progress.network

    Attributes:
      optimizer: turns gradients into steps (clipping included).
      synchronisation: when and how devices agree, counted in updates of this network.
      every: updates of the algorithm for each one of the network.
    """

    optimizer: optax.GradientTransformation
    synchronisation: Synchronisation
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(f"Updates(every={self.every}): write 1 or more.")
        check_optimizer_takes_shards(self.optimizer, self.synchronisation.shards)

    def init(self, parameters: Any) -> Network:
        """Returns a network with a new optimizer state."""
        return Network(parameters, self.optimizer.init(parameters))

    def specs(self, network: Network) -> Network:
        """Returns a `PartitionSpec` for each leaf: large parameters may be split over devices.

        Args:
          network: the whole network; arrays or `jax.ShapeDtypeStruct`.
        """
        shards = self.synchronisation.shards
        if shards.axis_name is None:
            return jax.tree.map(lambda _: PartitionSpec(), network)
        state_specs = optimizer_state_specs(
            network.optimizer_state, network.parameters, shards.specs
        )
        return Network(shards.specs, state_specs)

    def traffic(self, network: Network, num_updates: int) -> Traffic:
        """Returns the communication between devices for this network in an iteration.

        Args:
          network: the whole network; arrays or `jax.ShapeDtypeStruct`.
          num_updates: updates of the algorithm in an iteration.
        """
        synchronisation = self.synchronisation
        sizes, split_sizes = parameter_sizes(network.parameters, self.specs(network).parameters)
        return Traffic(
            sizes,
            num_updates // self.every,
            period=synchronisation.period,
            mode=synchronisation.mode,
            compression=synchronisation.compression.kind,
            num_optimizer_numbers=num_floats(network.optimizer_state),
            fsdp_devices=synchronisation.shards.size,
            split_sizes=split_sizes,
        )

    def steps(self, num_updates: int) -> UpdateStep:
        """Returns the updates of an iteration, `[num_updates]`, to scan over.

        Raises:
          ConfigError: if the network is never updated.
        """
        num_own = num_updates // self.every
        if num_own < 1:
            raise ConfigError(
                f"A network that is updated every {self.every} updates is never updated in an"
                f" iteration of {num_updates}. Write more updates, or every={num_updates}."
            )
        index = jnp.arange(num_updates)
        own = index // self.every  # the network's own count
        is_due = (index + 1) % self.every == 0
        schedule = self.synchronisation.schedule(num_own)
        if self.every > 1:
            schedule = is_due & schedule[jnp.minimum(own, num_own - 1)]
        return UpdateStep(
            index=index,
            is_due=is_due,
            is_synchronising=schedule,
            is_last=is_due & (own == num_own - 1),
            has_moved=own > self.synchronisation.first_step(num_own),
        )

    def begin(self, network: Network) -> Progress:
        """Returns the network before the first update of an iteration."""
        waiting = None
        if self.synchronisation.is_accumulating:
            waiting = GradientSum(network.parameters, jnp.float32(0)).zeros_like()
        residuals = self.synchronisation.initial_residuals(network.parameters)
        return Progress(network, waiting, residuals)

    def take(
        self,
        progress: Progress,
        loss: Loss,
        step: UpdateStep,
        scale: Float[Array, ""] | float = 1.0,
        agree_on: Sequence[str] = (),
    ) -> Outcome:
        """Takes one update, if the network is due.

        Args:
          progress: the network before the update.
          loss: this device's loss; it is differentiated here, and gradients are averaged
            explicitly.
          step: the place of the update.
          scale: factor on the optimizer's step.
          agree_on: names of metrics of the loss that steer something, like the divergence: devices
            average them together with the gradients.
        """

        def take() -> Outcome:
            return self._take(progress, loss, step, scale, agree_on)

        if self.every == 1:
            return take()

        def wait() -> Outcome:
            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(take))
            return nothing._replace(progress=progress)

        return lax.cond(step.is_due, take, wait)

    def mean(self, values: Any, steps: UpdateStep) -> Any:
        """Returns the mean `[...]` of values `[num_updates, ...]` over the network's updates."""
        if self.every == 1:
            return jax.tree.map(lambda x: jnp.mean(x, axis=0), values)
        return jax.tree.map(lambda x: jnp.sum(x, axis=0) / jnp.sum(steps.is_due), values)

    def _take(
        self,
        progress: Progress,
        loss: Loss,
        step: UpdateStep,
        scale: Float[Array, ""] | float,
        agree_on: Sequence[str],
    ) -> Outcome:
        """Differentiates, and hands the gradients to the optimizer or lets them wait."""
        shards = self.synchronisation.shards

        def local_loss(parameters: Any) -> tuple[Float[Array, ""], Metrics]:
            return loss(shards.gather(parameters))

        gradients, metrics = jax.grad(local_loss, has_aux=True)(progress.network.parameters)
        gradients = shards.average(gradients)  # over devices that act as one
        agreed = {name: metrics[name] for name in agree_on}
        if progress.waiting is None:
            stepped = self._apply(progress, gradients, agreed, step, scale)
        else:
            waiting = progress.waiting.add(gradients)
            stepped = lax.cond(
                step.is_synchronising,
                self._apply_mean,
                self._accumulate,
                dataclasses.replace(progress, waiting=waiting),
                agreed,
                step,
                jnp.asarray(scale),
            )
        progress, agreed, gradient_norm, drift = stepped
        return Outcome(progress, metrics, agreed, gradient_norm, drift)

    def _apply(
        self,
        progress: Progress,
        gradients: Any,
        agreed: Metrics,
        step: UpdateStep,
        scale: Float[Array, ""] | float,
    ) -> Stepped:
        """Takes one optimizer step, with the average of the gradients if it synchronises."""
        synchronisation, network = self.synchronisation, progress.network

        def agree(operand: tuple[Any, Metrics, Any]) -> tuple[Any, Metrics, Any]:
            return synchronisation.agree(*operand, step.is_last)

        gradients, agreed, residuals = self._where_synchronising(
            step, agree, (gradients, agreed, progress.residuals)
        )
        steps, optimizer_state = optimizer_update(
            self.optimizer,
            synchronisation.shards,
            gradients,
            network.optimizer_state,
            network.parameters,
        )
        steps = jax.tree.map(lambda step: scale * step, steps)
        network = Network(optax.apply_updates(network.parameters, steps), optimizer_state)
        drift = None
        if synchronisation.may_drift:
            network, drift = self._where_synchronising(
                step, self._agree_on_parameters, (network, jnp.float32(0))
            )
        progress = dataclasses.replace(progress, network=network, residuals=residuals)
        return progress, agreed, synchronisation.shards.norm(gradients), drift

    def _apply_mean(
        self, progress: Progress, agreed: Metrics, step: UpdateStep, scale: Float[Array, ""]
    ) -> Stepped:
        """Takes one optimizer step with the mean of all waiting gradients."""
        waiting = progress.waiting
        assert waiting is not None
        progress = dataclasses.replace(progress, waiting=waiting.zeros_like())
        return self._apply(progress, waiting.mean(), agreed, step, scale)

    def _accumulate(
        self, progress: Progress, agreed: Metrics, step: UpdateStep, scale: Float[Array, ""]
    ) -> Stepped:
        """Lets the gradients wait."""
        assert progress.waiting is not None
        norm = self.synchronisation.shards.norm(progress.waiting.mean())
        return progress, agreed, norm, None  # replicas that accumulate do not drift

    def _where_synchronising(self, step: UpdateStep, agree: Any, operand: Any) -> Any:
        """Calls `agree` on synchronising updates only; the others communicate nothing."""
        if not self.synchronisation.may_drift:
            # Every update that takes a step synchronises.
            return agree(operand)
        return lax.cond(step.is_synchronising, agree, lambda operand: operand, operand)

    def _agree_on_parameters(self, operand: tuple[Network, Array]) -> tuple[Network, Array]:
        network, _ = operand
        averaged = average_replicas(network, self.synchronisation.replica_axis_name)
        return averaged, self.synchronisation.drift(network.parameters, averaged.parameters)
