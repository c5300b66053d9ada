"""A pole balanced on a cart, by a function call: no task class, no files, no command line.

python -m examples.functional_cartpole
"""

import jax
import jax.numpy as jnp

import ksim
from ksim.vibe_rl.algorithms.ppo import PPO, PPOAgentState, PPOConfig
from ksim.vibe_rl.env import make
from ksim.vibe_rl.env.wrappers import AutoResetWrapper
from ksim.vibe_rl.runner import RunnerConfig

PPO_CONFIG = PPOConfig(
    n_steps=64,
    n_minibatches=4,
    n_epochs=4,
    hidden_sizes=(64, 64),
    gamma=0.98,
    lam=0.9,
    learning_rate=1e-3,
    learning_rate_schedule="linear",
    entropy_coef=0.01,
)
RUNNER_CONFIG = RunnerConfig(total_timesteps=300_000, num_envs=8, num_devices=1)


def episode_length(agent_state: PPOAgentState, env: ksim.Environment, key: jax.Array) -> jax.Array:
    """Returns the steps for which the trained policy, without exploring, keeps the pole up."""
    reset_key, steps_key = jax.random.split(key)
    state, observations = env.reset(reset_key)

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, jax.Array]:
        state, observations, is_over = carry
        state, timestep = env.step(state, PPO.act(agent_state, observations), key)
        is_done = timestep.is_terminated | timestep.is_truncated
        return (state, timestep.observations, is_over | is_done), ~is_over

    keys = jax.random.split(steps_key, 500)
    _, is_counted = jax.lax.scan(step, (state, observations, jnp.bool_(False)), keys)
    return jnp.sum(is_counted)


def main(
    ppo_config: PPOConfig = PPO_CONFIG, runner_config: RunnerConfig = RUNNER_CONFIG
) -> tuple[float, float]:
    """Trains, then tries the policy; returns the last mean returns of training and of the trial."""
    env, env_params = make("CartPole-v1")
    env = AutoResetWrapper(env)
    train_state, metrics = ksim.train_ppo(
        env, env_params, ppo_config=ppo_config, runner_config=runner_config
    )
    trained = float(jnp.nanmean(metrics.episode_return[-10:]))
    keys = jax.random.split(jax.random.key(1), 64)
    lengths = jax.jit(jax.vmap(episode_length, in_axes=(None, None, 0)), static_argnums=1)(
        train_state.agent_state, env, keys
    )
    tried = float(jnp.mean(lengths))
    print(f"Mean return of the last updates {trained:.1f}, of 64 trial episodes {tried:.1f}")
    return trained, tried


if __name__ == "__main__":
    main()
