"""Distributions over actions, as pytrees of their parameters; `action_head.py` gives them those."""

import math
from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Key

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Distribution(ABC):
    """A distribution over actions, seen through a *latent* that its density is defined on.

    A rollout stores latents, not actions: `log_prob` then never has to invert the map from latent
    to action, which loses all precision where that map saturates. `log_prob` and `entropy` are
    those of the *action*. The parameters may have leading batch axes `[...]`.
    """

    @abstractmethod
    def sample(self, key: Key[Array, ""]) -> Array:
        """Returns one latent for each distribution of the batch; a key is used only once."""

    @abstractmethod
    def mode(self) -> Array:
        """Returns the most likely latent, from which the deterministic policy acts."""

    @abstractmethod
    def log_prob(self, latent: Array) -> Float[Array, "..."]:
        """Returns the log density (or probability) of `action(latent)`, `[...]`, in nats."""

    @abstractmethod
    def entropy(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        """Returns the entropy of the action, `[...]`, in nats.

        Distributions without a closed form return an unbiased estimate from one sample, which
        `key` draws; the others do not use `key`.
        """

    @abstractmethod
    def action(self, latent: Array) -> Array:
        """Returns the action of a latent."""


@struct.dataclass
class Normal(Distribution):
    """Independent normal distributions; the latent is the action.

    Attributes:
      mean: `[..., size]`.
      log_std: `[..., size]` natural logarithm of the standard deviation.
    """

    mean: Float[Array, "*batch size"]
    log_std: Float[Array, "*batch size"]

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*batch size"]:
        """Returns mean + std * noise, `[..., size]`, differentiable in both parameters."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def mode(self) -> Float[Array, "*batch size"]:
        """Returns the mean, `[..., size]`."""
        return self.mean

    def log_prob(self, latent: Float[Array, "*batch size"]) -> Float[Array, "*batch"]:
        """Returns the log density of an action, summed over its components, `[...]`."""
        deviation = (latent - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * deviation**2 - self.log_std - _HALF_LOG_TWO_PI, axis=-1)

    def entropy(self, key: Key[Array, ""]) -> Float[Array, "*batch"]:
        """Returns the sum of log(std sqrt(2 pi e)), `[...]`; exact, `key` is not used."""
        del key
        return _normal_entropy(self.log_std)

    def action(self, latent: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Returns the latent itself."""
        return latent


@struct.dataclass
class TanhNormal(Distribution):
    """Independent normal distributions squashed into (-1, 1) by tanh; the latent is unsquashed.

    With a = tanh(u), log p(a) = log N(u; mean, std) - sum log(1 - tanh(u)^2).

    Attributes:
      mean: `[..., size]` mean of the latent.
      log_std: `[..., size]` natural logarithm of the latent's standard deviation.

    Reference:
      Haarnoja et al. 2018, "Soft actor-critic", arXiv:1801.01290, appendix C.
    """

    mean: Float[Array, "*batch size"]
    log_std: Float[Array, "*batch size"]

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*batch size"]:
        """Returns an unsquashed sample, `[..., size]`, differentiable in both parameters."""
        return Normal(self.mean, self.log_std).sample(key)

    def mode(self) -> Float[Array, "*batch size"]:
        """Returns the mean of the latent, `[..., size]`: its mode, and the action's median."""
        return self.mean

    def log_prob(self, latent: Float[Array, "*batch size"]) -> Float[Array, "*batch"]:
        """Returns the log density of tanh(latent), summed over its components, `[...]`."""
        log_prob = Normal(self.mean, self.log_std).log_prob(latent)
        return log_prob - _log_slope_of_tanh(latent).sum(axis=-1)

    def entropy(self, key: Key[Array, ""]) -> Float[Array, "*batch"]:
        """Returns the latent's entropy plus a one-sample estimate of the squashing, `[...]`.

        H(a) = H(u) + E[sum log(1 - tanh(u)^2)]; only the expectation is estimated, by a sample
        that is differentiable in both parameters.
        """
        return _normal_entropy(self.log_std) + _log_slope_of_tanh(self.sample(key)).sum(axis=-1)

    def action(self, latent: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        """Returns tanh(latent), `[..., size]`."""
        return jnp.tanh(latent)


@struct.dataclass
class Categorical(Distribution):
    """One of `size` choices; the latent is its index, and the action too.

    Attributes:
      logits: `[..., size]` log probabilities up to a constant.
    """

    logits: Float[Array, "*batch size"]

    def sample(self, key: Key[Array, ""]) -> Int[Array, "*batch"]:
        """Returns the index of a choice, `[...]` int32."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Int[Array, "*batch"]:
        """Returns the index of the likeliest choice, `[...]` int32; the first one of equals."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, latent: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Returns the log probability of a choice, `[...]`."""
        log_probs = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_probs, latent[..., None], axis=-1).squeeze(-1)

    def entropy(self, key: Key[Array, ""]) -> Float[Array, "*batch"]:
        """Returns -sum p log p, `[...]`, in [0, log(size)]; exact, `key` is not used."""
        del key
        log_probs = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)

    def action(self, latent: Int[Array, "*batch"]) -> Int[Array, "*batch"]:
        """Returns the latent itself."""
        return latent


def _normal_entropy(log_std: Float[Array, "*batch size"]) -> Float[Array, "*batch"]:
    return jnp.sum(log_std + _HALF_LOG_TWO_PI + 0.5, axis=-1)


def _log_slope_of_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns log(1 - tanh(x)^2) as 2 (log 2 - x - softplus(-2 x)), finite for every finite x."""
    return 2 * (math.log(2) - x - jax.nn.softplus(-2 * x))
