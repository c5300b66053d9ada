"""Both engines: the same physics, current data, clean starts; and what only native MuJoCo does."""

import logging
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import ksim
from ksim import MjxEngine, NativeEngine, WarpEngine
from ksim.physics import EpisodeStart
from ksim.physics.data import NamedFields
from ksim.physics.engines.default_data import DefaultData
from ksim.physics.engines.native.stepper import NativeStepper
from ksim.physics.engines.warp_functions import WarpFunctions
from ksim.testing import check_engine
from tests.physics.stepwise_mjx import StepwiseJax

NUM_SIMULATIONS = 6
ENGINES = {
    "mjx": MjxEngine,
    "mujoco": NativeEngine,
    # On MJX's own functions instead of Warp's: what the engine makes of whole steps.
    "warp": lambda model: WarpEngine(model, NUM_SIMULATIONS, functions=StepwiseJax()),
}
FIELDS = (
    *("time", "qpos", "qvel", "ctrl", "xpos", "xquat", "xmat", "xipos", "ximat", "geom_xpos"),
    *("site_xpos", "site_xmat", "subtree_com", "cvel", "actuator_force", "qfrc_actuator"),
    "sensordata",
)


def load(name):
    return ksim.PhysicsModel.create(
        ksim.load_mjcf(ksim.asset_path(f"{name}.xml")), dt=0.005, ctrl_dt=0.02
    )


@pytest.fixture(autouse=True)
def _mjx_broadcasts():
    with jax.numpy_rank_promotion("allow"):
        yield


def stack(tree, count):
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *np.shape(x))), tree)


def has_field(data, name):
    return name in (data.fields if isinstance(data, NamedFields) else vars(data))


def compiled_step(engine):
    """The step of simulations side by side, compiled once for all worlds that are given it."""
    return jax.jit(jax.vmap(engine.step))


class World:
    """Some simulations of a model, stepped together by `compiled_step(engine)`."""

    def __init__(self, engine, model, count=NUM_SIMULATIONS, step=None):
        self.engine, self.model, self.count = engine, model, count
        self.data = stack(engine.initial_data(), count)
        self.fields = {}
        self.step_all = step or compiled_step(engine)

    def step(self, ctrl, is_reset=False, qpos=None, qvel=None):
        mj_model = self.model.mj_model
        start = EpisodeStart(
            qpos=jnp.zeros((self.count, mj_model.nq)) if qpos is None else jnp.float32(qpos),
            qvel=jnp.zeros((self.count, mj_model.nv)) if qvel is None else jnp.float32(qvel),
        )
        ctrl = jnp.broadcast_to(jnp.float32(ctrl), (self.count, mj_model.nu))
        is_reset = jnp.broadcast_to(jnp.asarray(is_reset), (self.count,))
        self.data = self.step_all(self.fields, self.data, ctrl, start, is_reset)
        return self.data


def random_state(model, count, seed=0):
    """States about the first keyframe, or qpos0."""
    mj_model = model.mj_model
    rng = np.random.default_rng(seed)
    qpos, qvel = np.zeros((count, mj_model.nq)), rng.normal(0, 0.5, (count, mj_model.nv))
    for row in qpos:
        row[:] = mj_model.key_qpos[0] if mj_model.nkey else mj_model.qpos0
        mujoco.mj_integratePos(mj_model, row, rng.normal(0, 0.1, mj_model.nv), 1.0)
    ctrl = rng.uniform(-1, 1, (count, mj_model.nu))
    return qpos, qvel, ctrl


@pytest.mark.parametrize("name", ["pendulum", "cartpole"])
@pytest.mark.parametrize("engine", ENGINES)
def test_keeps_the_contract_with_small_models(name, engine):
    model = load(name)
    check_engine(ENGINES[engine](model), model, tolerance=1e-5, num_simulations=1000)


def test_native_keeps_the_contract_with_the_humanoid(humanoid):
    check_engine(NativeEngine(humanoid), humanoid, tolerance=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["mjx", "warp"])
def test_keeps_the_contract_with_the_humanoid(engine, humanoid):
    check_engine(ENGINES[engine](humanoid), humanoid, tolerance=2e-2, num_simulations=1000)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tolerance"), [("cartpole", 2e-5), ("humanoid", 2e-2)])
def test_warp_itself_keeps_the_contract(name, tolerance):
    """With Warp's own functions, which run on a CPU too, slowly."""
    pytest.importorskip("warp", reason="needs the extra ksim[warp]")
    model, count = load(name), 64
    engine = WarpEngine(model, count, functions=WarpFunctions(graph_mode=None))
    check_engine(engine, model, tolerance=tolerance, num_simulations=count)


@pytest.fixture(scope="module")
def humanoid():
    return load("humanoid")


@pytest.fixture(
    scope="module", params=["pendulum-mjx", "pendulum-warp", "pendulum-mujoco", "humanoid-mujoco"]
)
def make_world(request):
    name, engine = request.param.split("-")
    model = load(name)
    made = ENGINES[engine](model)
    step = compiled_step(made)
    return lambda count=NUM_SIMULATIONS: World(made, model, count, step)


class TestEveryEngine:
    """What the suite cannot ask of engines that it does not know."""

    def test_has_what_tells_of_the_last_substep_and_diverges(self, make_world):
        """Or the suite would find nothing left of the last episode for want of anything."""
        world = make_world()
        qpos, qvel, ctrl = random_state(world.model, world.count)
        world.step(0.0, True, qpos, qvel)
        world.step(ctrl)
        names = {"qacc", "qacc_smooth", "qfrc_smooth", "qfrc_constraint"}
        assert names <= set(DefaultData(world.model.mj_model).is_of_last_substep)
        assert all(has_field(world.data, name) for name in names)
        assert np.any(np.asarray(world.data.qfrc_smooth))
        world.data = world.data.replace(qvel=jnp.full_like(world.data.qvel, 3e38))
        assert not np.all(np.isfinite(world.step(ctrl).qvel))

    def test_replaced_velocity_is_continued_from(self, make_world):
        world = make_world()
        qpos, qvel, ctrl = random_state(world.model, world.count)
        world.step(0.0, True, qpos, np.zeros_like(qvel))
        world.data = world.data.replace(qvel=jnp.float32(qvel))
        pushed = world.step(ctrl)
        world.step(0.0, True, qpos, qvel)
        expected = world.step(ctrl)
        np.testing.assert_allclose(pushed.qpos, expected.qpos, rtol=1e-4, atol=1e-5)

    def test_unknown_model_field(self, make_world):
        with pytest.raises(KeyError, match="body_mass"):
            make_world().engine.model_fields(("body_mas",))


class TestNativeEngine:
    def test_equals_a_plain_loop_bit_for_bit(self, humanoid):
        world, mj_model = World(NativeEngine(humanoid), humanoid), humanoid.mj_model
        qpos, qvel, _ = random_state(humanoid, world.count)
        controls = np.float32(np.random.default_rng(3).normal(0, 20, (10, world.count, 21)))
        world.step(0.0, True, qpos, qvel)
        for ctrl in controls:
            world.step(ctrl)
        states = np.asarray(world.data.state).view(np.float64)
        expected = mujoco.MjData(mj_model)
        for index in range(world.count):
            mujoco.mj_resetData(mj_model, expected)
            expected.qpos[:], expected.qvel[:] = np.float32(qpos[index]), np.float32(qvel[index])
            for ctrl in controls[:, index]:
                expected.ctrl[:] = ctrl
                mujoco.mj_step(mj_model, expected, 4)
            state = np.zeros(states.shape[1])
            mujoco.mj_getState(mj_model, expected, state, mujoco.mjtState.mjSTATE_INTEGRATION)
            np.testing.assert_array_equal(states[index], state)

    @pytest.mark.parametrize("num_threads", [2, 4])
    def test_number_of_threads_does_not_matter(self, humanoid, num_threads):
        qpos, qvel, ctrl = random_state(humanoid, NUM_SIMULATIONS)
        results = []
        for count in (1, num_threads):
            world = World(NativeEngine(humanoid, num_threads=count), humanoid)
            world.step(0.0, True, qpos, qvel)
            world.step(ctrl)
            results.append(world.step(ctrl))
        jax.tree.map(np.testing.assert_array_equal, *results)

    @pytest.mark.parametrize("num_devices", [2, 4])
    def test_number_of_devices_does_not_matter(self, humanoid, num_devices):
        qpos, qvel, ctrl = random_state(humanoid, 8)
        engine = NativeEngine(humanoid, num_threads=1)
        start = EpisodeStart(qpos=np.float32(qpos), qvel=np.float32(qvel))
        results = []
        for count in (1, num_devices):
            step = jax.pmap(jax.vmap(engine.step), devices=jax.local_devices()[:count])

            def split(tree, count=count):
                return jax.tree.map(
                    lambda x: np.reshape(x, (count, 8 // count, *x.shape[1:])), tree
                )

            data = split(jax.tree.map(np.asarray, stack(engine.initial_data(), 8)))
            for is_reset in (True, False, False):
                arguments = (np.float32(ctrl), start, np.full(8, is_reset))
                data = step({}, data, *split(arguments))
            results.append(jax.tree.map(lambda x: np.reshape(x, (8, *x.shape[2:])), data))
        jax.tree.map(np.testing.assert_array_equal, *results)
        assert np.abs(results[0].qpos - qpos).max() > 1e-3

    def test_nothing_is_remembered(self, humanoid):
        world = World(NativeEngine(humanoid), humanoid)
        qpos, qvel, ctrl = random_state(humanoid, world.count)
        before = world.step(0.0, True, qpos, qvel)
        first = world.step(ctrl)
        for _ in range(3):
            world.step(-ctrl)
        world.data = before
        jax.tree.map(np.testing.assert_array_equal, world.step(ctrl), first)

    def test_a_rejected_simulation_leaves_the_others_alone(self, humanoid, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        world = World(NativeEngine(humanoid), humanoid)
        qpos, qvel, ctrl = random_state(humanoid, world.count)
        before = world.step(0.0, True, qpos, qvel)
        expected = world.step(ctrl)
        world.data = before.replace(qvel=before.qvel.at[2].set(1e12))
        data = world.step(ctrl)
        assert np.isnan(data.qpos[2]).all() and np.isnan(data.qvel[2]).all()
        others = np.arange(world.count) != 2
        for field in FIELDS:
            np.testing.assert_array_equal(
                getattr(data, field)[others], getattr(expected, field)[others], err_msg=field
            )
        data = world.step(ctrl, ~others, qpos, qvel)
        assert np.isfinite(data.qpos).all()
        assert not list(tmp_path.iterdir()), "MuJoCo wrote its log into the working folder"

    def test_holds_what_is_read_and_no_more(self, humanoid):
        engine = NativeEngine(humanoid).reading({"xpos"})
        data = engine.initial_data()
        assert set(data.fields) == {"time", "qpos", "qvel", "ctrl", "xpos"}
        with pytest.raises(AttributeError, match="xpos"):
            _ = data.xpoz

    def test_unknown_field(self, humanoid):
        with pytest.raises(KeyError, match=r'"xquad".*no such field in mjData'):
            NativeEngine(humanoid, fields=("xquad",))

    def test_has_one_name_in_every_process_and_others_for_other_physics(self):
        """By that name a program that was compiled long ago finds its engine."""

        def name(ctrl_dt=0.02, num_threads=1, timestep=0.005):
            mj_model = ksim.load_mjcf(ksim.asset_path("pendulum.xml"))
            model = ksim.PhysicsModel.create(mj_model, timestep, ctrl_dt)
            return NativeStepper(model, num_threads, DefaultData(mj_model)).name

        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "import ksim; from ksim.physics.engines.native.engine import NativeEngine\n"
            "mj_model = ksim.load_mjcf(ksim.asset_path('pendulum.xml'))\n"
            "model = ksim.PhysicsModel.create(mj_model, 0.005, 0.02)\n"
            "print(NativeEngine(model, 1)._stepper.name)"
        )
        command = [sys.executable, "-c", code, str(Path(ksim.__file__).parents[1])]
        elsewhere = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert elsewhere.strip() == name()
        others = {name(), name(ctrl_dt=0.01), name(num_threads=2), name(timestep=0.01)}
        assert len(others) == 4

    def test_keeps_its_model_as_it_was(self):
        """Its name would be wrong otherwise."""
        model = load("pendulum")
        world = World(NativeEngine(model), model)
        model.mj_model.opt.gravity[:] = 0
        world.step(0.0, True, np.full((world.count, 1), 0.5))
        assert np.all(world.step(0.0).qvel != 0)

    def test_from_a_device_without_shared_memory(self, humanoid, monkeypatch):
        """As on a GPU, where arrays are copied to the host and back."""
        world = World(NativeEngine(humanoid), humanoid)
        qpos, qvel, ctrl = random_state(humanoid, world.count)
        start = EpisodeStart(jnp.float32(qpos), jnp.float32(qvel))
        is_reset = jnp.arange(world.count) < 2
        world.step(0.0, True, qpos, qvel)
        arguments = ({}, world.data, jnp.float32(ctrl), start, is_reset)
        in_place = world.step(ctrl, is_reset, qpos, qvel)
        monkeypatch.setattr(
            "jax.lax.platform_dependent", lambda *arguments, cpu, default: default(*arguments)
        )
        step = jax.jit(lambda *arguments: jax.vmap(world.engine.step)(*arguments))
        assert "python" in step.lower(*arguments).as_text()
        copied = step(*arguments)
        jax.tree.map(np.testing.assert_array_equal, copied, in_place)


def test_a_handler_of_warnings_that_the_user_set_is_kept(humanoid):
    before, log = mujoco.get_mju_user_warning(), logging.getLogger("test").debug
    try:
        mujoco.set_mju_user_warning(log)
        NativeEngine(humanoid)
        assert mujoco.get_mju_user_warning() == log
    finally:
        mujoco.set_mju_user_warning(before)
