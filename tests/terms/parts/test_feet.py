"""Feet: contact and velocity."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim.terms.parts.feet import Feet

FEET = ("left_foot", "right_foot")


def test_contact_from_the_force_on(model, make_physics):
    feet = Feet.create(model, FEET, "Term", min_contact_force=2.0)
    assert len(feet) == 2
    physics = make_physics(sensordata=jnp.array([1.0, 0, 0, 0, 9, 9, 9, 1.9, 2.0]))
    assert feet.is_in_contact(physics).tolist() == [False, True]


def test_touch_sensors_are_found_by_site_in_the_order_of_the_feet(model, make_physics):
    feet = Feet.create(model, FEET[::-1], "Term")
    physics = make_physics(sensordata=jnp.array([1.0, 0, 0, 0, 0, 0, 0, 5.0, 0.0]))
    assert feet.is_in_contact(physics).tolist() == [False, True]


def test_velocities_equal_those_of_mujoco(model, make_physics):
    random = np.random.default_rng(0)
    qpos, qvel = model.mj_model.qpos0 + 0.2 * random.normal(size=12), random.normal(size=11)
    qpos[3:7] /= np.linalg.norm(qpos[3:7])
    data = mujoco.MjData(model.mj_model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    mujoco.mj_forward(model.mj_model, data)
    expected = np.zeros((2, 6))
    for row, name in zip(expected, FEET, strict=True):
        site_id = model.mj_model.site(name).id
        kind = mujoco.mjtObj.mjOBJ_SITE
        mujoco.mj_objectVelocity(model.mj_model, data, kind, site_id, row, 0)
    velocities = Feet.create(model, FEET, "Term").velocities(make_physics(qpos=qpos, qvel=qvel))
    np.testing.assert_allclose(velocities, expected[:, 3:], atol=1e-5)


def test_names_that_are_no_feet(model):
    with pytest.raises(KeyError, match=r"Term\(site=.*left_fot.*\).*left_foot"):
        Feet.create(model, ("left_fot",), "Term")
    with pytest.raises(ValueError, match=r"Term\(site=.*imu.*\): the site has no touch sensor"):
        Feet.create(model, ("imu",), "Term")
    with pytest.raises(ValueError, match=r"name at least one site. The model has: imu, left_foot"):
        Feet.create(model, (), "Term")
    with pytest.raises(ValueError, match="min_contact_force must be positive"):
        Feet.create(model, FEET, "Term", min_contact_force=0.0)


SOLE = '<site name="left_foot" pos="0 0 -0.35" size="0.06"/>'
LEFT_SPHERE = 'pos="0 0 -0.35" size="0.05" mass="1"/>\n          <site name="left_foot"'


def test_feet_that_nothing_can_touch(make_model):
    bodiless = make_model({SOLE: f'<body name="sole">{SOLE}</body>'})
    message = r'Term\(site="left_foot"\): no geom of its body "sole" collides'
    with pytest.raises(ValueError, match=message):
        Feet.create(bodiless, FEET, "Term")
    # The left foot's geom is in a contact pair, which collides whatever its contype says.
    unseen = LEFT_SPHERE.replace('mass="1"', 'mass="1" contype="0" conaffinity="0"')
    paired = make_model({LEFT_SPHERE: unseen})
    assert len(Feet.create(paired, FEET, "Term")) == 2
    pair = '<pair geom1="floor" geom2="left_foot" friction="1 1 0.005 0.0001 0.0001"/>'
    with pytest.raises(ValueError, match='no geom of its body "left_shank" collides'):
        Feet.create(make_model({LEFT_SPHERE: unseen, pair: ""}), FEET, "Term")
