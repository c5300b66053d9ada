"""Times a task's networks with exact and with rounded matrix products."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ksim.nn import Model, unroll
from ksim.reporting.status import RunStatus
from ksim.storage.measurements import KeptMeasurement
from ksim.xla.compiler_options import UPDATE, compile_with

WORTHWHILE_GAIN = 0.1
"""Least share of the time that rounding must save; below it, noise would choose."""

MIN_TURNS = 5
MAX_TURNS = 50
ENOUGH_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class MatmulTimes:
    """Median times of a minibatch through the networks and back.

    Attributes:
      float32: time with exact products, s.
      bfloat16: time with products of rounded operands, s.
    """

    float32: float
    bfloat16: float

    def choice(self) -> tuple[str, str]:
        """Returns the precision that these times suggest, and the reason."""
        is_worthwhile = self.bfloat16 <= (1 - WORTHWHILE_GAIN) * self.float32
        return "bfloat16" if is_worthwhile else "float32", (
            "chosen by matmul_precision=auto: on this processor a minibatch through the networks"
            f" and back takes {1e3 * self.float32:.3g} ms in float32 and"
            f" {1e3 * self.bfloat16:.3g} ms in bfloat16, which has to save {WORTHWHILE_GAIN:.0%}."
        )


@dataclasses.dataclass(frozen=True)
class Minibatch:
    """The part of a minibatch that one device learns from.

    Attributes:
      observation_shapes: shape of each observation of one environment, by name.
      num_steps: steps of each environment.
      num_envs: environments.
      device: the device, a CPU.
    """

    observation_shapes: Mapping[str, tuple[int, ...]]
    num_steps: int
    num_envs: int
    device: jax.Device


def matmul_times(
    models: Mapping[str, Model], minibatch: Minibatch, status: RunStatus, is_kept: bool
) -> MatmulTimes:
    """Returns the times of networks in either precision, measured once for each machine.

    Args:
      models: the same networks under `float32` and `bfloat16`; shapes and dtypes.
      minibatch: shapes of the samples that pass through them.
      status: shows the measurement.
      is_kept: whether the times are read from, and kept in, the user's cache directory.
    """
    kept = KeptMeasurement("matmul", _subject(models["float32"], minibatch))
    names = [field.name for field in dataclasses.fields(MatmulTimes)]
    numbers = kept.read(names) if is_kept else None
    if numbers is not None:
        return MatmulTimes(**numbers)
    with status.phase("measuring the networks in float32 and bfloat16"):
        times = measure(models, minibatch)
    if is_kept:
        kept.write(dataclasses.asdict(times))
    return times


def measure(models: Mapping[str, Model], minibatch: Minibatch) -> MatmulTimes:
    """Compiles the networks in both precisions, and times them on random numbers."""
    return MatmulTimes(
        **medians_by_turns({name: _compiled(model, minibatch) for name, model in models.items()})
    )


def medians_by_turns(runs: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Returns the median duration of each computation, s; the first turn warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    began = time.perf_counter()
    for turn in range(1 + MAX_TURNS):
        for name, run in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - start)
        if turn >= MIN_TURNS and time.perf_counter() - began > ENOUGH_SECONDS:
            break
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def _compiled(model: Model, minibatch: Minibatch) -> Callable[[], Any]:
    """Compiles a pass of the networks forward and back, as an update does."""
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    shape = (minibatch.num_steps, minibatch.num_envs)
    observations = {
        name: numbers(*shape, *rest) for name, rest in minibatch.observation_shapes.items()
    }
    parameters = jax.tree.map(lambda leaf: numbers(*leaf.shape).astype(leaf.dtype), model)

    def loss(model: Model, observations: Any) -> jax.Array:
        carry = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (minibatch.num_envs, *leaf.shape)),
            model.initial_carry(),
        )
        outputs = unroll(model, observations, carry, jnp.ones(shape, bool))
        # Squared, so that the gradient is no constant, which XLA would not multiply.
        return sum((jnp.sum(jnp.square(x)) for x in jax.tree.leaves(outputs)), jnp.float32(0))

    arguments = jax.device_put((parameters, observations), minibatch.device)
    traced = jax.jit(jax.grad(loss)).lower(*arguments)
    compiled = compile_with(traced, UPDATE)
    return lambda: compiled(*arguments)


def _subject(model: Model, minibatch: Minibatch) -> dict[str, Any]:
    """Returns the shapes that the times depend on, as JSON data."""
    leaves = jax.tree_util.tree_leaves_with_path(model)
    return {
        "parameters": {jax.tree_util.keystr(path): list(leaf.shape) for path, leaf in leaves},
        "observations": {name: list(x) for name, x in minibatch.observation_shapes.items()},
        "minibatch": [minibatch.num_steps, minibatch.num_envs],
    }
