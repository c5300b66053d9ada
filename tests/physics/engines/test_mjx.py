"""What MuJoCo does before a contact, and MJX leaves to the engine."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import ksim
from ksim import MjxEngine
from ksim.physics import EpisodeStart

SLIDING_BALL = """
<mujoco>
  <option timestep="0.005" cone="{cone}"/>
  <worldbody>
    <geom type="plane" size="5 5 0.1" friction="{friction} 0 0"/>
    <body pos="0 0 0.1"><freejoint/><geom size="0.1" mass="1" friction="{friction} 0 0"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(autouse=True)
def _mjx_broadcasts():
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("cone", ["pyramidal", "elliptic"])
@pytest.mark.parametrize("is_randomized", [False, True])
def test_without_friction_a_ball_slides_on_a_floor(cone, is_randomized):
    """Its numbers were NaN, or it fell through: cones divide by the friction."""
    text = SLIDING_BALL.format(cone=cone, friction=1.0 if is_randomized else 0.0)
    model = ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(text), 0.005, 0.02)
    engine = MjxEngine(model)
    fields = {"geom_friction": jnp.zeros((2, 3))} if is_randomized else {}
    start = EpisodeStart(jnp.float32(model.mj_model.qpos0), jnp.float32(np.eye(6)[0]))

    @jax.jit
    def step(data, is_reset):
        return engine.step(fields, data, jnp.zeros(0), start, is_reset)

    data = jax.tree.map(jnp.asarray, engine.initial_data())
    heights = []
    for index in range(201):
        data = step(data, jnp.bool_(index == 0))
        heights.append(float(data.qpos[2]))
    # 4 s at 1 m/s; the least friction of 1e-3 takes 1e-3 * 9.81 * 4 = 0.04 m/s.
    assert 0.95 < data.qvel[0] < 1.0
    # It stays on the floor, into which it sinks a little.
    np.testing.assert_allclose(heights, 0.1, atol=1e-3)


SWING = """
<mujoco>
  <worldbody>
    <body><joint axis="0 1 0"/><geom size="0.1" pos="0 0 -1"/><site name="tip" pos="0 0 -1"/></body>
  </worldbody>
  <sensor><accelerometer site="tip"/></sensor>
</mujoco>
"""


def test_accelerations_that_mjx_keeps_to_itself_are_zero_where_an_episode_begins():
    """They were those of the last episode, and no numbers if it had diverged."""
    model = ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(SWING), 0.005, 0.02)
    engine = MjxEngine(model)
    step = jax.jit(engine.step)
    begun = EpisodeStart(jnp.ones(1), jnp.zeros(1))
    data = jax.tree.map(jnp.asarray, engine.initial_data())
    for velocity in (0.0, 3e38):
        data = step({}, data.replace(qvel=jnp.full(1, velocity)), jnp.zeros(0), begun, jnp.bool_(0))
        assert np.any(data._impl.cacc)
        data = step({}, data, jnp.zeros(0), begun, jnp.bool_(1))
        np.testing.assert_array_equal(data._impl.cacc, 0.0)
        np.testing.assert_array_equal(data._impl.cfrc_int, 0.0)
