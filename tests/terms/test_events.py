"""Pushes."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim import PushEvent
from ksim.physics import PhysicsModel


def push_many(event, state, count=500):
    keys = jax.random.split(jax.random.key(1), count)
    carry = jnp.zeros(())
    return np.array(jax.jit(jax.vmap(lambda key: event(state, carry, key)[0]))(keys))


def test_pushes_come_after_their_interval(model, make_state):
    event = PushEvent.create(model, interval_range=(0.06, 0.06))
    carry, is_pushed = event.init(jax.random.key(0)), []
    for key in jax.random.split(jax.random.key(1), 7):
        change, carry = event(make_state(), carry, key)
        is_pushed.append(bool(np.any(change)))
    # 0.06 s are 3 steps of 0.02 s.
    assert is_pushed == [False, False, True, False, False, True, False]


def test_a_push_is_horizontal_and_up_to_the_largest_speed(model, make_state):
    pushes = push_many(PushEvent.create(model, max_speed=2.0), make_state())
    assert pushes.shape == (500, 11)
    np.testing.assert_array_equal(pushes[:, 2:], 0.0)
    speeds = np.linalg.norm(pushes[:, :2], axis=1)
    assert speeds.max() <= 2.0
    assert speeds.mean() == pytest.approx(1.0, abs=0.1)  # uniform in [0, 2]
    assert pushes[:, :2].mean(axis=0) == pytest.approx([0.0, 0.0], abs=0.15)  # any direction


def test_the_level_scales_a_push(model, make_state):
    full = push_many(PushEvent.create(model, is_scaled_by_level=True), make_state(level=1.0), 5)
    half = push_many(PushEvent.create(model, is_scaled_by_level=True), make_state(level=0.5), 5)
    np.testing.assert_allclose(half, full / 2, rtol=1e-6)
    unscaled = push_many(PushEvent.create(model), make_state(level=0.5), 5)
    np.testing.assert_allclose(unscaled, full, rtol=1e-6)


def test_a_fixed_base_cannot_be_pushed():
    text = (
        '<mujoco><worldbody><body><joint name="a"/><geom size="0.1"/></body></worldbody></mujoco>'
    )
    model = PhysicsModel.create(mujoco.MjModel.from_xml_string(text), dt=0.005, ctrl_dt=0.02)
    with pytest.raises(ValueError, match=r"PushEvent needs a floating base.*freejoint"):
        PushEvent.create(model)
