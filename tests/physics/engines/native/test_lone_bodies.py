"""Masses of bodies that move alone, which differ between simulations."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import batch as mujoco_batch

from ksim import NativeEngine
from ksim.physics import EpisodeStart, PhysicsModel
from ksim.physics.engines.native.lone_bodies import INERTIAL_FIELDS, SimpleInertias

# All of them are alone, with the centre of mass at the origin: MuJoCo calls them simple.
ALONE = """
<mujoco>
  <worldbody>
    <body name="ball" pos="0 0 3">
      <freejoint/>
      <geom type="box" size="0.1 0.2 0.3"/>
    </body>
    <body name="cart" pos="3 0 0">
      <joint name="x" type="slide" axis="1 0 0" armature="0.3"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom type="box" size="0.1 0.2 0.3"/>
    </body>
    <body name="globe" pos="6 0 0">
      <joint type="ball" armature="0.2"/>
      <geom type="box" size="0.1 0.2 0.3"/>
    </body>
    <body name="wheel" pos="9 0 0">
      <joint axis="0 1 0" armature="0.1"/>
      <geom type="box" size="0.1 0.2 0.3"/>
    </body>
    <body name="arm" pos="12 0 0">
      <joint axis="0 1 0"/>
      <geom type="capsule" fromto="0 0 0 1 0 0" size="0.1"/>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.mark.parametrize("names", [INERTIAL_FIELDS, ("body_mass",), ("dof_armature",)])
def test_inertias_are_those_that_mujoco_derives(names):
    mj_model = mujoco.MjModel.from_xml_string(ALONE)
    assert np.count_nonzero(mj_model.dof_simplenum) >= 9
    found, expected = (mujoco_batch.Batch(mj_model, 2, 1) for _ in range(2))
    rng = np.random.default_rng(0)
    fields = {}
    for name in names:
        compiled = getattr(mj_model, name)
        fields[name] = compiled * rng.uniform(0.5, 2.0, (2, *compiled.shape))
        for batch in (found, expected):
            batch.expand(name)[...] = fields[name]
    simple = SimpleInertias(found, mj_model)
    simple.follow(fields)
    expected.set_const()
    for batch in (found, expected):
        batch.bind("M")
        batch.forward()
    np.testing.assert_allclose(found.bind("M"), expected.bind("M"), rtol=1e-12)
    assert np.abs(np.diff(found.bind("M"), axis=0)).max() > 0.01


def test_a_heavier_ball_falls_as_fast():
    mj_model = mujoco.MjModel.from_xml_string(ALONE)
    engine = NativeEngine(PhysicsModel.create(mj_model, dt=0.005, ctrl_dt=0.005))
    fields = engine.model_fields(("body_mass", "body_inertia"))
    heavier = {name: 2 * value for name, value in fields.items()}
    start = EpisodeStart(qpos=jnp.float32(mj_model.qpos0), qvel=jnp.zeros(mj_model.nv))
    data = engine.initial_data()
    data = engine.step(heavier, data, jnp.zeros(0), start, jnp.bool_(False))
    assert data.qvel[2] == pytest.approx(-9.81 * 0.005, rel=1e-5)
