"""The clipped surrogate loss of PPO."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class PPOCoefficients:
    """Coefficients of the loss.

    Attributes:
      clip_param: distance of the probability ratio from 1 beyond which it stops paying.
      value_coef: weight of the critic's loss.
      entropy_coef: weight of the entropy bonus.
      value_clip_param: distance of the critic from its old estimate, in the critic's unit, beyond
        which it stops paying; `None` does not clip.
    """

    clip_param: float
    value_coef: float
    entropy_coef: float
    value_clip_param: float | None = None


@struct.dataclass
class PPOSamples:
    """Recorded inputs of the loss for each sample; all of the same shape.

    Attributes:
      log_prob: log-density under the policy that acted.
      value: the critic's estimate at that time.
      advantage: estimated advantage, usually normalised.
      value_target: target of the critic.
      weight: weight of the sample in the mean; the weights average to 1.
    """

    log_prob: Float[Array, "..."]
    value: Float[Array, "..."]
    advantage: Float[Array, "..."]
    value_target: Float[Array, "..."]
    weight: Float[Array, "..."]


def ppo_loss(
    log_prob: Float[Array, "..."],
    value: Float[Array, "..."],
    entropy: Float[Array, "..."],
    samples: PPOSamples,
    coefficients: PPOCoefficients,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Returns the loss to minimise, and its metrics.

    L = mean(-min(r A, clip(r, 1 - c, 1 + c) A)) + value_coef L_V - entropy_coef H,
    with r = exp(log_prob - old log_prob) and
    L_V = 1/2 mean((V - target)^2), or with clipping
    L_V = 1/2 mean(max((V - target)^2, (clip(V, V_old - c_V, V_old + c_V) - target)^2)).

    Args:
      log_prob: log-density of the samples under the current policy.
      value: the critic's current estimate.
      entropy: entropy of the current policy at each sample.
      samples: the recorded samples.
      coefficients: the coefficients of the loss.

    Returns:
      The loss, and metrics by name: `policy/kl` is Schulman's estimator mean(r - 1 - log r) of
      the divergence of the old policy from the current one.

    Reference:
      Schulman et al. 2017, arXiv:1707.06347, equations 7 and 9.
    """
    weight = samples.weight

    def counted(x: Array) -> Array:
        # Where the weight is 0 the sample may hold anything, even NaN.
        return jnp.where(weight > 0, x, 0.0)

    def mean(x: Array) -> Array:
        return jnp.mean(x * weight)

    samples = jax.tree.map(counted, samples)
    log_prob, value, entropy = counted(log_prob), counted(value), counted(entropy)
    clip = coefficients.clip_param
    log_ratio = log_prob - samples.log_prob
    ratio = jnp.exp(log_ratio)
    surrogate = jnp.minimum(
        ratio * samples.advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * samples.advantage
    )
    policy_loss = -mean(surrogate)
    value_loss = 0.5 * mean(_squared_error(value, samples, coefficients.value_clip_param))
    mean_entropy = mean(entropy)
    loss = policy_loss + coefficients.value_coef * value_loss
    loss = loss - coefficients.entropy_coef * mean_entropy
    return loss, {
        "loss/total": loss,
        "loss/policy": policy_loss,
        "loss/value": value_loss,
        "loss/entropy": mean_entropy,
        # Not from `ratio`, which has rounded away what differs from 1 by less than 1e-7.
        "policy/kl": mean(jnp.expm1(log_ratio) - log_ratio),
        "policy/clip_fraction": mean((jnp.abs(ratio - 1) > clip).astype(jnp.float32)),
    }


def _squared_error(value: Array, samples: PPOSamples, limit: float | None) -> Array:
    """Returns the critic's squared error; with a limit the larger of clipped and not clipped."""
    squared_error = jnp.square(value - samples.value_target)
    if limit is None:
        return squared_error
    clipped = samples.value + jnp.clip(value - samples.value, -limit, limit)
    return jnp.maximum(squared_error, jnp.square(clipped - samples.value_target))
