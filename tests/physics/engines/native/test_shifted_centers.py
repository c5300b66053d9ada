"""Centres of mass that differ between simulations."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import batch as mujoco_batch

from ksim import MjxEngine, NativeEngine
from ksim.physics import EpisodeStart, PhysicsModel
from ksim.physics.engines.native.shifted_centers import ShiftedCenters

# The trunk's centre is at its origin, that of the arm at the centre of its tilted geom, and that of
# the leg somewhere between its geoms, which meet the block.
ROBOT = """
<mujoco>
  <worldbody>
    <geom name="block" type="box" size="1 1 0.1"/>
    <body name="trunk" pos="0 0 1">
      <freejoint/>
      <geom name="trunk" type="box" size="0.1 0.2 0.1"/>
      <site name="trunk"/>
      <body name="arm" pos="0 0.2 0">
        <joint name="shoulder" axis="1 0 0"/>
        <geom name="arm" type="capsule" fromto="0 0 0 0.3 0.1 0" size="0.04"/>
        <site name="hand" pos="0.3 0.1 0"/>
      </body>
      <body name="leg" pos="0 0 -0.1">
        <joint name="hip" axis="0 1 0"/>
        <geom name="leg" type="capsule" fromto="0 0 0 0.1 0 -0.5" size="0.04"/>
        <geom name="foot" type="box" size="0.1 0.05 0.02" pos="0.15 0 -0.55" euler="0 0 20"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
OFFSETS = np.array([[0.0, 0.0, 0.0], [0.05, -0.02, 0.03], [-0.04, 0.01, 0.02], [0.02, 0.06, -0.1]])


@pytest.fixture(scope="module")
def mj_model():
    return mujoco.MjModel.from_xml_string(ROBOT)


def test_boxes_and_frames_are_those_that_mujoco_derives(mj_model):
    coinciding = mujoco.mjtSameFrame
    assert mj_model.body_sameframe[1] == coinciding.mjSAMEFRAME_BODY
    assert mj_model.geom_sameframe[mj_model.geom("arm").id] == coinciding.mjSAMEFRAME_INERTIA
    batches = [mujoco_batch.Batch(mj_model, 2, 1) for _ in range(2)]
    found, expected = batches
    centers = mj_model.body_ipos + np.stack([np.zeros_like(OFFSETS), OFFSETS])
    for batch in batches:
        batch.expand("body_ipos")[...] = centers
        batch.bind("qpos")[:, 2] = 0.7  # the foot is in the block
        for field in ("xipos", "geom_xpos", "site_xpos", "subtree_com", "qfrc_bias", "M"):
            batch.bind(field)
    ShiftedCenters(found, mj_model).move_boxes(centers)
    expected.set_const()  # all that MuJoCo ever derives from centres of mass
    np.testing.assert_allclose(found.expand("bvh_aabb"), expected.expand("bvh_aabb"), atol=1e-12)
    assert np.abs(np.diff(found.expand("bvh_aabb"), axis=0)).max() > 0.01
    for batch in batches:
        batch.forward()
    for field in ("xipos", "geom_xpos", "site_xpos", "subtree_com", "qfrc_bias", "M"):
        np.testing.assert_allclose(found.bind(field), expected.bind(field), atol=1e-12)
    # In the world's frame, in which the trunk is not turned; the geoms stay.
    np.testing.assert_allclose(np.diff(found.bind("xipos"), axis=0)[0, 1:], OFFSETS[1:], atol=1e-12)
    np.testing.assert_allclose(np.diff(found.bind("geom_xpos"), axis=0), 0.0, atol=1e-12)


def test_engines_agree_on_shifted_centres():
    # In the air, and without collisions, which take MJX long to compile.
    free = ROBOT.replace("<worldbody>", '<option><flag contact="disable"/></option><worldbody>')
    mj_model = mujoco.MjModel.from_xml_string(free)
    model = PhysicsModel.create(mj_model, dt=0.005, ctrl_dt=0.01)
    qpos = jnp.float32([0.0, 0.0, 2.0, 0.9, 0.1, 0.3, 0.3, 0.4, -0.5])
    start = EpisodeStart(qpos=qpos, qvel=jnp.linspace(-1.0, 1.0, 8))
    centers = jnp.float32(mj_model.body_ipos + np.stack([np.zeros_like(OFFSETS), OFFSETS]))
    found = []
    for engine in (NativeEngine(model), MjxEngine(model)):

        def step(body_ipos, engine=engine):
            fields, ctrl = {"body_ipos": body_ipos}, jnp.zeros(0)
            data = engine.step(fields, engine.initial_data(), ctrl, start, jnp.bool_(True))
            data = engine.step(fields, data, ctrl, start, jnp.bool_(False))
            return data.qvel, data.xipos, data.geom_xpos

        with jax.numpy_rank_promotion("allow"):
            found.append(jax.jit(jax.vmap(step))(centers))
    for native, other in zip(*found, strict=True):
        np.testing.assert_allclose(native, other, atol=2e-5)
    (velocities, _, _), _ = found
    assert np.abs(np.diff(velocities, axis=0)).max() > 1e-3
