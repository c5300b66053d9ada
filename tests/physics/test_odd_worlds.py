"""What a humanoid does not have moves as MuJoCo itself moves it, also after a new start."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from ksim import MjxEngine, NativeEngine
from ksim.physics import EpisodeStart, PhysicsModel
from tests.physics.small_worlds import (
    ARM_AND_CUBE,
    BALL_AND_ROBOT,
    CLOSED_LOOP,
    DRONE,
    LAG_AND_MUSCLE,
    PUPPET,
)

FIELDS = (
    *("time", "qpos", "qvel", "ctrl", "xpos", "xquat", "xmat", "xipos", "ximat", "geom_xpos"),
    *("site_xpos", "site_xmat", "subtree_com", "cvel", "actuator_force", "qfrc_actuator"),
    "sensordata",
)
NUM_SIMULATIONS = 8
NUM_SUBSTEPS = 4


@pytest.fixture(autouse=True)
def _mjx_broadcasts():
    with jax.numpy_rank_promotion("allow"):
        yield


def states(model: mujoco.MjModel):
    """Random states about `qpos0`, and controls."""
    rng = np.random.default_rng(0)
    qpos = np.tile(model.qpos0, (NUM_SIMULATIONS, 1))
    for row in qpos:
        mujoco.mj_integratePos(model, row, rng.normal(0, 0.1, model.nv), 1.0)
    qvel = rng.normal(0, 0.5, (NUM_SIMULATIONS, model.nv))
    ctrl = rng.uniform(0, 1, (NUM_SIMULATIONS, model.nu))
    return tuple(map(np.float32, (qpos, qvel, ctrl)))


def moved_by_mujoco(model: mujoco.MjModel, qpos, qvel, ctrl):
    """The fields after one control step, as MuJoCo's own functions compute them."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
    for _ in range(NUM_SUBSTEPS):
        mujoco.mj_step(model, data)
    mujoco.mj_fwdPosition(model, data)
    mujoco.mj_sensorPos(model, data)
    mujoco.mj_fwdVelocity(model, data)
    mujoco.mj_sensorVel(model, data)
    return {field: np.array(getattr(data, field)) for field in FIELDS}


def moved_by_engine(engine, model: mujoco.MjModel, qpos, qvel, ctrl):
    """The same by an engine, whose simulations have moved and begun again before."""

    def move(qpos, qvel, ctrl):
        def step(index, data):
            is_reset = (index == 0) | (index == 3)
            now = jnp.where(index == 4, ctrl, 1.0 - ctrl)
            return engine.step({}, data, now, EpisodeStart(qpos, qvel), is_reset)

        data = jax.lax.fori_loop(0, 5, step, jax.tree.map(jnp.asarray, engine.initial_data()))
        return {field: getattr(data, field) for field in FIELDS}

    return jax.device_get(jax.jit(jax.vmap(move))(qpos, qvel, ctrl))


@pytest.mark.parametrize(
    ("text", "make", "tolerance"),
    [
        pytest.param(ARM_AND_CUBE, NativeEngine, 1e-6, id="arm"),
        pytest.param(BALL_AND_ROBOT, NativeEngine, 1e-6, id="ball"),
        pytest.param(CLOSED_LOOP, NativeEngine, 1e-6, id="loop"),
        pytest.param(DRONE, NativeEngine, 1e-6, id="drone"),
        pytest.param(LAG_AND_MUSCLE, NativeEngine, 1e-6, id="muscle"),
        pytest.param(LAG_AND_MUSCLE, MjxEngine, 1e-4, id="muscle-mjx"),
        pytest.param(PUPPET, NativeEngine, 1e-6, id="puppet"),
    ],
)
def test_one_control_step_is_mujocos(text, make, tolerance):
    mj_model = mujoco.MjModel.from_xml_string(text)
    dt = mj_model.opt.timestep
    engine = make(PhysicsModel.create(mj_model, dt, NUM_SUBSTEPS * dt))
    arrays = states(mj_model)
    found = moved_by_engine(engine, mj_model, *arrays)
    for index, (qpos, qvel, ctrl) in enumerate(zip(*arrays, strict=True)):
        expected = moved_by_mujoco(mj_model, qpos, qvel, ctrl)
        for field in FIELDS:
            value = found[field][index].reshape(expected[field].shape)
            np.testing.assert_allclose(
                value, expected[field], rtol=tolerance, atol=tolerance, err_msg=field
            )
