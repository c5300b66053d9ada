"""A simulation that blows up ends its own episode, and no other environment notices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim.envs import RunContext
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

NUM_ENVS, KICKED, STEPS = 4, 2, 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kick(ksim.Event):
    """Throws the pendulum beyond what MuJoCo simulates, where a command tells it to."""

    strength: float

    def __call__(self, state, carry, key):
        is_kicked = state.level > 0.5
        return jnp.where(is_kicked, self.strength, 0.0) * jnp.ones_like(state.physics.qvel), carry


def run(engine, strength):
    """Steps some environments, of which the level of one is 1 in the third step.

    Returns:
      What ended as diverged `[STEPS, NUM_ENVS]`, and the observed positions.
    """

    class Task(SmallMujocoTask):
        def get_events(self, physics_model):
            return [Kick(strength=strength)]

    environment = Task(SmallMujocoConfig(num_devices=1, engine=engine)).environment
    step = jax.jit(jax.vmap(environment.step_or_reset))
    state = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (NUM_ENVS, *jnp.shape(x))), environment.initial_state()
    )
    is_over, diverged, positions = jnp.ones(NUM_ENVS, bool), [], []
    for index in range(STEPS):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(1), index), NUM_ENVS)
        level = jnp.zeros(NUM_ENVS).at[KICKED].set(1.0 if index == 2 else 0.0)
        with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
            state, timestep = step(state, jnp.ones((NUM_ENVS, 1)), keys, is_over, RunContext(level))
        assert np.isfinite(timestep.reward).all()
        assert all(np.isfinite(x).all() for x in timestep.observations.values())
        is_over = timestep.terminations["diverged"]
        assert np.all(timestep.is_terminated[is_over])
        diverged.append(np.asarray(is_over))
        positions.append(np.asarray(state.physics.qpos))
    return np.stack(diverged), np.stack(positions)


@pytest.mark.parametrize("engine", ["mujoco", "mjx"])
def test_only_its_own_episode_ends(engine):
    kicked, positions = run(engine, strength=3e38)
    calm, expected = run(engine, strength=0.0)
    assert not calm.any()
    assert kicked.sum() == 1 and kicked[2, KICKED]
    others = np.arange(NUM_ENVS) != KICKED
    np.testing.assert_array_equal(positions[:, others], expected[:, others])
    # It starts anew in the next step.
    assert np.isnan(positions[2, KICKED]).all() or np.isinf(positions[2, KICKED]).all()
    assert np.isfinite(positions[3:, KICKED]).all()


@pytest.mark.parametrize("engine", ["mujoco", "mjx"])
def test_what_is_beyond_mujocos_bound_has_diverged_although_it_is_finite(engine):
    """MuJoCo gives up beyond 1e10; MJX would go on until rewards overflow."""
    diverged, _ = run(engine, strength=1e12)
    assert diverged.sum() == 1 and diverged[2, KICKED]
