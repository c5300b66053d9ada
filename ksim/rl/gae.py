"""Estimates generalized advantages (GAE)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


def generalized_advantages(
    reward: Float[Array, "T num_envs"],
    value: Float[Array, "T num_envs"],
    final_value: Float[Array, "num_envs"],
    is_terminated: Bool[Array, "T num_envs"],
    is_truncated: Bool[Array, "T num_envs"],
    is_valid: Bool[Array, "T num_envs"],
    gamma: float,
    lam: float,
) -> Float[Array, "T num_envs"]:
    """Estimates the advantage of each action over the policy's average.

    delta_t = r_t + gamma V(s_{t+1}) [not terminated] - V(s_t)
    A_t = delta_t + gamma lam A_{t+1} [episode goes on]

    After a failure no value follows. After a time-out the value of the true final observation
    does: it is the next value, since that observation stands at t + 1, where the next episode
    starts (see `Trajectory`).

    Args:
      reward: reward of each step.
      value: the critic's estimate before each step.
      final_value: the critic's estimate after the last step.
      is_terminated: whether the step ended its episode by a failure.
      is_truncated: whether the step ended its episode by a time-out.
      is_valid: whether it was a step; the advantage is 0 where it was not.
      gamma: discount of the future, in [0, 1].
      lam: weight of longer returns, in [0, 1]: 0 is one-step, 1 is Monte Carlo.

    Returns:
      The advantages; adding `value` gives the targets of the critic.

    Reference:
      Schulman et al. 2016, arXiv:1506.02438, equation 16.
    """
    next_value = jnp.concatenate([value[1:], final_value[None]])
    delta = reward + gamma * jnp.where(is_terminated, 0.0, next_value) - value
    decay = jnp.where(is_terminated | is_truncated, 0.0, gamma * lam)

    def step(next_advantage: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, decay, is_valid = inputs
        advantage = jnp.where(is_valid, delta + decay * next_advantage, 0.0)
        return advantage, advantage

    _, advantages = lax.scan(
        step, jnp.zeros_like(final_value), (delta, decay, is_valid), reverse=True
    )
    return advantages
