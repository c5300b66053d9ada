"""What is of Warp alone: room for contacts, and what goes from one step to the next."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

import ksim
from ksim import NativeEngine, WarpEngine
from ksim.physics import EpisodeStart
from ksim.physics.engines.warp_functions import WarpFunctions
from tests.physics.stepwise_mjx import CONTACTS, ROWS, StepwiseJax


@pytest.fixture(autouse=True)
def _mjx_broadcasts():
    with jax.numpy_rank_promotion("allow"):
        yield


def load(name="cartpole"):
    return ksim.PhysicsModel.create(
        ksim.load_mjcf(ksim.asset_path(f"{name}.xml")), dt=0.005, ctrl_dt=0.02
    )


@pytest.mark.parametrize(
    ("options", "contacts", "rows"),
    [
        ({}, 100 * CONTACTS, ROWS),  # contacts of all environments, rows of one
        ({"naconmax": 70}, 70, ROWS),
        ({"njmax": 9}, 100 * CONTACTS, 9),
    ],
)
def test_room_for_contacts(options, contacts, rows):
    functions = StepwiseJax()
    engine = WarpEngine(load(), 100, functions=functions, **options)
    assert functions.asked_for == [(None, None), (contacts, rows)]
    assert f"room for {contacts} contacts on a device and {rows} constraint rows" in (
        engine.description
    )


def test_holds_the_state_and_what_is_read():
    engine = WarpEngine(load(), 2, functions=StepwiseJax())
    state = {"time", "qpos", "qvel", "act", "history", "qacc_warmstart", "ctrl"}
    assert set(engine.reading({"xpos"}).initial_data().fields) == {*state, "xpos"}
    everything = set(engine.initial_data().fields)
    assert {*state, "xpos", "sensordata", "qfrc_bias"} <= everything
    with pytest.raises(KeyError, match=r'"xquad".*Did you mean "xquat"'):
        engine.reading({"xquad"})


SERVO = """
<mujoco>
  <worldbody>
    <body>
      <joint name="hinge" axis="0 1 0" damping="0.1" range="-170 170"/>
      <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.02" mass="1"/>
      <site name="tip" pos="0 0 -0.5"/>
    </body>
  </worldbody>
  <actuator><position joint="hinge" kp="20"/></actuator>
  <sensor><accelerometer site="tip"/><velocimeter site="tip"/></sensor>
</mujoco>
"""


@pytest.mark.parametrize("kernels", ["mjx", pytest.param("warp", marks=pytest.mark.slow)])
def test_forces_are_those_of_the_last_substep(kernels):
    """The angle changes a servo's force: that of the forward pass is another one.

    (The hinge has limits because MJX's own steps compute no accelerometer without constraints.)
    """
    if kernels == "warp":
        pytest.importorskip("warp", reason="needs the extra ksim[warp]")
    functions = StepwiseJax() if kernels == "mjx" else WarpFunctions(graph_mode=None)
    model = ksim.PhysicsModel.create(mujoco.MjModel.from_xml_string(SERVO), dt=0.005, ctrl_dt=0.02)
    fields = ("actuator_force", "qfrc_actuator", "qacc", "sensordata", "xpos")
    start = EpisodeStart(jnp.array([0.5]), jnp.array([1.0]))
    results = []
    for engine in (NativeEngine(model), WarpEngine(model, 1, functions=functions)):
        step, data = jax.jit(engine.step), jax.tree.map(jnp.asarray, engine.initial_data())
        begun = step({}, data, jnp.array([0.2]), start, jnp.bool_(True))
        moved = step({}, begun, jnp.array([0.2]), start, jnp.bool_(False))
        results.append(
            [np.hstack([getattr(data, f).ravel() for f in fields]) for data in (begun, moved)]
        )
        assert not begun.actuator_force.any() and not begun.sensordata[:3].any()
        assert moved.actuator_force.any() and moved.sensordata[:3].any()
    for native, warp in zip(*results, strict=True):
        np.testing.assert_allclose(warp, native, rtol=1e-4, atol=1e-5)


def test_mass_of_subtrees_follows_the_masses():
    """Warp takes the centre of a subtree from sums that MuJoCo made when it compiled the model."""
    model, functions = load("humanoid"), StepwiseJax()
    engine = WarpEngine(model, 1, functions=functions)
    masses = engine.model_fields(("body_mass",))["body_mass"]
    start = EpisodeStart(jnp.zeros(model.mj_model.nq), jnp.zeros(model.mj_model.nv))
    data = jax.tree.map(jnp.asarray, engine.initial_data())

    def step(masses):
        engine.step({"body_mass": masses}, data, data.ctrl, start, jnp.bool_(False))
        return functions.models[-1].body_subtreemass

    functions.step = lambda model, data: functions.models.append(model) or data
    functions.forward = lambda model, data: data
    np.testing.assert_allclose(step(masses), model.mj_model.body_subtreemass, rtol=1e-5)
    np.testing.assert_allclose(step(2 * masses), 2 * model.mj_model.body_subtreemass, rtol=1e-5)


@pytest.mark.slow
class TestWarp:
    """MuJoCo Warp itself, on a CPU."""

    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("warp", reason="needs the extra ksim[warp]")

    def test_room_is_no_constant_of_the_program(self):
        def length(count):
            engine = WarpEngine(load(), count, functions=WarpFunctions(graph_mode=None))
            data = jax.tree.map(lambda x: np.stack([x] * 2), engine.initial_data())
            start = EpisodeStart(data.qpos, data.qvel)
            arguments = ({}, data, data.ctrl, start, np.zeros(2, bool))
            return len(jax.jit(jax.vmap(engine.step)).lower(*arguments).as_text())

        assert length(8192) < 1.01 * length(8)

    def test_fields_that_environments_may_differ_in(self):
        engine = WarpEngine(load("humanoid"), 2, functions=WarpFunctions(graph_mode=None))
        fields = ("body_mass", "dof_damping", "dof_armature", "geom_friction", "actuator_gainprm")
        assert set(engine.model_fields(fields)) == set(fields)
        with pytest.raises(KeyError, match='"geom_type"'):
            engine.model_fields(("geom_type",))

    @pytest.mark.parametrize("mode", ["warp", "warp_staged_ex", "warp_staged"])
    def test_graph_mode(self, mode):
        model = WarpFunctions(mode).put_model(load().mj_model)
        assert model.opt._impl.graph_mode.name == mode.upper()
