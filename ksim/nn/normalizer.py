"""Running mean and variance of observations, the same on every device."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ksim.xla.joined import Joined

MAX_COUNT = 1e8
"""Largest weight of all older samples together, in samples.

The first samples of a run come from a policy that falls at once, and should not weigh forever:
beyond this count, old data fade exponentially, by a factor e every `MAX_COUNT` samples.
"""

CLIP = 10.0
"""Normalized observations are kept within this many standard deviations of the mean."""

EPSILON = 1e-4
"""Added to the variance: an observation that never varies is divided by 0.01, not by 0."""


@struct.dataclass
class RunningMoments:
    """Mean and variance of all observations so far, by name.

    Attributes:
      count: `[]` weight of the samples seen, at most `MAX_COUNT`.
      mean: `{name: [*shape]}`.
      variance: `{name: [*shape]}`, of the population (divided by the count, not by count - 1).
    """

    count: Float[Array, ""]
    mean: dict[str, Float[Array, "..."]]
    variance: dict[str, Float[Array, "..."]]

    @classmethod
    def create(cls, shapes: Mapping[str, tuple[int, ...]]) -> "RunningMoments":
        """Returns moments that have seen nothing: count 0, mean 0, variance 1.

        Args:
          shapes: shape of every observation to normalize, without batch axes.
        """
        return cls(
            count=jnp.zeros(()),
            mean={name: jnp.zeros(shape) for name, shape in shapes.items()},
            variance={name: jnp.ones(shape) for name, shape in shapes.items()},
        )

    def normalize(self, observations: Mapping[str, Array]) -> dict[str, Array]:
        """Returns (x - mean) / sqrt(variance + EPSILON), within `CLIP` of 0.

        Args:
          observations: `{name: [..., *shape]}`; those without moments are returned as they are.

        Raises:
          KeyError: if an observation that has moments is missing.
        """
        if not self.mean:
            return dict(observations)
        name, mean = next(iter(self.mean.items()))
        shape = _find(name, observations).shape
        joined = self._joined(observations, shape[: len(shape) - mean.ndim])
        means, _ = ravel_pytree(self.mean)
        variances, _ = ravel_pytree(self.variance)

        def normalized(samples: Array) -> Array:
            deviations = samples - jnp.broadcast_to(means, samples.shape)
            scale = jnp.broadcast_to(lax.rsqrt(variances + EPSILON), samples.shape)
            return jnp.clip(deviations * scale, -CLIP, CLIP)

        return dict(observations) | jax.tree.map(normalized, joined).split()

    def update(
        self,
        observations: Mapping[str, Array],
        weights: Float[Array, "*batch"] | Bool[Array, "*batch"],
        axis_name: str | tuple[str, ...] | None = None,
    ) -> "RunningMoments":
        """Returns the moments of the old data and of a batch together.

        The batch is reduced over its axes and over the devices in two passes, first its mean, then
        the squared deviations from it. The result is the same on every device, and the same for
        any number of devices up to rounding. A sample of weight 0 counts for nothing, even if it
        is not a number; a batch of total weight 0 changes nothing.

        Args:
          observations: `{name: [*batch, *shape]}`; those without moments are ignored.
          weights: `[*batch]` weight of each sample, >= 0.
          axis_name: the device axis or axes, inside a mapped function.

        Raises:
          KeyError: if an observation that has moments is missing.

        Reference:
          Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", The
          American Statistician 37(3).
        """
        if not self.mean:
            return self
        weights = weights.astype(jnp.float32).ravel()
        old_mean, by_name = ravel_pytree(self.mean)
        old_variance, _ = ravel_pytree(self.variance)
        (samples,) = self._joined(observations, weights.shape).arrays.values()

        def weighted_sum(samples: Float[Array, "n d"]) -> Float[Array, "d"]:
            return jnp.tensordot(weights, samples, axes=1, precision=lax.Precision.HIGHEST)

        # Measured from the old mean, so that sums keep their precision far from the origin.
        deviations = jnp.where(weights[:, None] > 0, samples - old_mean[None], 0)
        sums = jnp.append(weighted_sum(deviations), jnp.sum(weights))
        sums = _sum_over_devices(sums, axis_name)
        batch_count = sums[-1]
        divisor = jnp.where(batch_count > 0, batch_count, 1)
        count = self.count + batch_count
        fraction = batch_count / jnp.where(count > 0, count, 1)
        shift = sums[:-1] / divisor
        spread = _sum_over_devices(weighted_sum((deviations - shift[None]) ** 2), axis_name)
        spread = spread / divisor
        mean = old_mean + fraction * shift
        variance = (1 - fraction) * (old_variance + fraction * shift**2) + fraction * spread
        return RunningMoments(jnp.minimum(count, MAX_COUNT), by_name(mean), by_name(variance))

    def _joined(self, observations: Mapping[str, Array], batch_shape: tuple[int, ...]) -> Joined:
        """Returns all observations that have moments side by side."""
        found = {
            name: _find(name, observations).astype(jnp.float32).reshape(*batch_shape, *mean.shape)
            for name, mean in self.mean.items()
        }
        return Joined.of(found, len(batch_shape))


def _find(name: str, observations: Mapping[str, Array]) -> Array:
    if name not in observations:
        raise KeyError(
            f'RunningMoments: observation "{name}" has moments but is missing.'
            f" Observations: {', '.join(observations)}."
        )
    return observations[name]


def _sum_over_devices(
    value: Float[Array, "..."], axis_name: str | tuple[str, ...] | None
) -> Float[Array, "..."]:
    return value if axis_name is None else lax.psum(value, axis_name)
