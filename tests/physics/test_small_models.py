"""The bundled pendulum and cart-pole move as their equations say."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

ASSETS = Path(__file__).parents[2] / "ksim" / "assets"
GRAVITY = 9.81


def load(name: str) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_path(str(ASSETS / f"{name}.xml"))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    return model, data


@pytest.mark.parametrize("name", ["pendulum", "cartpole"])
def test_nothing_can_touch_and_everything_has_a_name(name):
    model, data = load(name)
    mujoco.mj_forward(model, data)
    assert not model.geom_contype.any()
    assert not model.geom_conaffinity.any()
    counts = {"body": model.nbody, "joint": model.njnt, "geom": model.ngeom, "site": model.nsite}
    counts |= {"actuator": model.nu, "sensor": model.nsensor, "key": model.nkey}
    assert min(counts.values()) > 0
    for kind, count in counts.items():
        assert all(getattr(model, kind)(index).name for index in range(count))


@pytest.mark.parametrize(("angle", "torque"), [(0.3, 0.0), (2.0, 0.0), (-1.0, 1.5)])
def test_pendulum_acceleration(angle, torque):
    model, data = load("pendulum")
    data.qpos[0], data.ctrl[0] = angle, torque
    mujoco.mj_forward(model, data)
    # (torque - m g (l / 2) sin(angle)) / (m l^2 / 3) with m = 1 kg, l = 1 m.
    expected = (torque - GRAVITY / 2 * np.sin(angle)) * 3
    assert data.qacc[0] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(
        data.sensor("tip_position").data, [np.sin(angle), 0.0, 1.5 - np.cos(angle)], atol=1e-9
    )


def test_pendulum_rests_at_both_keyframes():
    model, data = load("pendulum")
    for key, angle in (("down", 0.0), ("up", np.pi)):
        mujoco.mj_resetDataKeyframe(model, data, model.key(key).id)
        mujoco.mj_forward(model, data)
        assert data.qpos[0] == pytest.approx(angle, abs=1e-8)
        assert data.qacc[0] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("angle", "angular_velocity", "force"), [(0.1, 0.0, 0.0), (0.2, -1.0, 10.0), (-2.5, 3.0, -4.0)]
)
def test_cartpole_acceleration(angle, angular_velocity, force):
    """The equations of motion of Barto, Sutton and Anderson 1983, without friction."""
    model, data = load("cartpole")
    data.qpos[:] = 0.0, angle
    data.qvel[:] = 0.0, angular_velocity
    data.ctrl[0] = force
    mujoco.mj_forward(model, data)
    cart, pole, half_length = 1.0, 0.1, 0.5
    sine, cosine = np.sin(angle), np.cos(angle)
    push = (force + pole * half_length * angular_velocity**2 * sine) / (cart + pole)
    swing = (GRAVITY * sine - cosine * push) / (
        half_length * (4 / 3 - pole * cosine**2 / (cart + pole))
    )
    slide = push - pole * half_length * swing * cosine / (cart + pole)
    # The model's 0.0083333 and 1e-5 kg m^2 of the pole are rounded.
    np.testing.assert_allclose(data.qacc, [slide, swing], rtol=1e-4)


def test_cart_stops_at_the_end_of_the_rail():
    model, data = load("cartpole")
    data.ctrl[0] = 10.0
    for _ in range(1000):
        mujoco.mj_step(model, data)
    assert data.qpos[0] < 2.5
