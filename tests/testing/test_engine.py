"""The suite of engines accepts what keeps the contract, and names the rule that is broken.

ksim's own engines go through it in `tests/physics/engines/test_engines.py`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import ksim
from ksim import NativeEngine, PhysicsEngine
from ksim.testing import check_engine


@pytest.fixture(scope="module")
def model():
    mj_model = ksim.load_mjcf(ksim.asset_path("cartpole.xml"))
    return ksim.PhysicsModel.create(mj_model, dt=0.01, ctrl_dt=0.02)


class Engine(PhysicsEngine):
    """Keeps all rules, by native MuJoCo; the tests below break one each."""

    description = "native MuJoCo, by another name"

    def __init__(self, model):
        self.native = NativeEngine(model)

    def initial_data(self):
        return self.native.initial_data()

    def model_fields(self, names):
        return self.native.model_fields(names)

    def step(self, fields, data, ctrl, start, is_reset):
        return self.native.step(fields, data, ctrl, start, is_reset)


@pytest.fixture
def expect(model):
    """Expects that an engine with these members breaks a rule."""

    def expect(rule, details, error=AssertionError, **members):
        engine = type("Broken", (Engine,), members)(model)
        with pytest.raises(error) as caught:
            check_engine(engine, model)
        message = str(caught.value)
        for text in (f'Broken breaks the rule "{rule}": ', details, "Instead, "):
            assert text in message

    return expect


def after_step(change):
    """A step whose data goes through `change(data, before, start, is_reset)`."""

    def step(self, fields, data, ctrl, start, is_reset):
        stepped = self.native.step(fields, data, ctrl, start, is_reset)
        return change(stepped, data, start, is_reset)

    return step


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Remembering:
    """A simulation's data, and something beside it."""

    data: object
    memory: object

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.data, name)

    def replace(self, **fields):
        return dataclasses.replace(self, data=self.data.replace(**fields))


def with_memory(change):
    """Members of an engine that remembers a number: `change(data, before, memory, is_reset)`."""

    def initial_data(self):
        return Remembering(self.native.initial_data(), np.float32(0))

    def step(self, fields, data, ctrl, start, is_reset):
        stepped = self.native.step(fields, data.data, ctrl, start, is_reset)
        return Remembering(*change(stepped, data.data, data.memory, is_reset))

    return {"initial_data": initial_data, "step": step, "reading": lambda self, fields: self}


def test_rules_are_kept(model):
    check_engine(Engine(model), model, tolerance=1e-6)


def test_only_engines_are_tried(model, monkeypatch):
    # As in a user's program: jaxtyping would say it in its own words.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match=r"found <class .*Engine'>\. Give an object of a class"):
        check_engine(Engine, model)


def test_a_description(expect):
    expect("description is a text", "it is 3", TypeError, description=3)


def test_options_for_the_compiler(expect):
    rule = "compiler_options are options by name"
    expect(rule, "they are ['xla_cpu']", TypeError, compiler_options=["xla_cpu"])


def test_data_on_a_device(expect):
    def initial_data(self):
        return jax.tree.map(jnp.asarray, self.native.initial_data())

    rule = "initial_data is of NumPy arrays"
    expect(rule, "is a ArrayImpl", TypeError, initial_data=initial_data)


def test_a_field_that_is_missing(expect):
    def initial_data(self):
        return self.native.reading({"xpos"}).initial_data()

    rule = "data has what terms read"
    expect(rule, "xquat is missing", TypeError, initial_data=initial_data)


def test_reading_leaves_out_what_was_asked_for(expect):
    def reading(self, fields):
        return self.native.reading({"cvel"})

    expect("data has what terms read", "xpos is missing", TypeError, reading=reading)


def test_data_of_other_types(expect):
    step = after_step(lambda data, *_: data.replace(time=data.time.astype(jnp.float16)))
    rule = "step returns data like initial_data"
    expect(rule, "time'] is float32[], then float16[]", TypeError, step=step)


def test_model_fields_of_another_model(expect):
    def model_fields(self, names):
        return {name: 2 * x for name, x in self.native.model_fields(names).items()}

    rule = "model_fields gives the model's own values"
    # The middle of the pole is 0.5 m above the hinge.
    expect(rule, "['body_ipos'][2, 2] is 0.5, then 1.0", model_fields=model_fields)


def test_model_fields_that_an_engine_has_not(expect, model):
    def model_fields(self, names):
        if "geom_friction" in names:
            raise KeyError("no geom_friction")
        return self.native.model_fields(names)

    rule = "model_fields gives the model's own values"
    expect(rule, "no geom_friction. Instead, give it, or check", model_fields=model_fields)
    engine = type("Other", (Engine,), {"model_fields": model_fields})(model)
    check_engine(engine, model, fields=("body_mass",))


def test_unknown_model_fields(expect):
    def model_fields(self, names):
        return self.native.model_fields(tuple(name for name in names if name != "body_mas"))

    rule = "model_fields refuses what is no field of the model"
    expect(rule, 'it gives something for "body_mas"', model_fields=model_fields)


def test_a_branch_on_an_array(expect):
    def step(self, fields, data, ctrl, start, is_reset):
        return data if is_reset else self.native.step(fields, data, ctrl, start, is_reset)

    rule = "methods are functions of JAX arrays"
    expect(rule, "TracerBoolConversionError", TypeError, step=step)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda data, *_: data.replace(qpos=data.qpos + 0.01), "qpos[0, 0] is"),
        (lambda data, before, *_: data.replace(time=before.time + 0.02), "time is [0.02"),
    ],
)
def test_where_an_episode_begins(change, found, expect):
    expect("an episode begins where it is told to", found, step=after_step(change))


def test_derived_fields_of_the_step_before(expect):
    step = after_step(lambda data, before, *_: data.replace(xpos=before.xpos))
    expect("derived fields are current", "xpos is off by", step=step)


def test_all_episodes_begin_together(expect):
    def step(self, fields, data, ctrl, start, is_reset):
        # In time alone: positions would be those of episodes that begin together, too.
        stepped = self.native.step(fields, data, ctrl, start, is_reset)
        return stepped.replace(time=jnp.where(is_reset, 0.0, jnp.float32(0.02)))

    rule = "those episodes begin that are told to"
    expect(rule, "time is [0.04 0.   0.04", step=step)


def test_forces_stay_where_only_some_begin(expect):
    def step(self, fields, data, ctrl, start, is_reset):
        stepped = self.native.step(fields, data, ctrl, start, is_reset)
        # `time` is above 0 only where others have moved before.
        force = jnp.where(is_reset & (data.time > 0), data.actuator_force, stepped.actuator_force)
        return stepped.replace(actuator_force=force)

    rule = "those episodes begin that are told to"
    expect(rule, "actuator_force is [[0.]", step=step)


def test_others_stand_still(expect):
    def step(self, fields, data, ctrl, start, is_reset):
        # Moves in the first step of an episode only.
        stepped = self.native.step(fields, data, ctrl, start, is_reset)
        is_late = stepped.time > 0.03
        kept = dataclasses.replace(stepped, fields={**data.fields, "time": stepped.time})
        return jax.tree.map(lambda x, y: jnp.where(is_late, x, y), kept, stepped)

    rule = "those episodes begin that are told to"
    expect(rule, "others stand still while they begin", step=step)


def test_forces_of_the_last_episode(expect):
    def keep(data, before, start, is_reset):
        return data.replace(qacc=jnp.where(is_reset, before.qacc, data.qacc))

    rule = "nothing of the last episode is left where one begins"
    expect(rule, "where simulations have moved before", step=after_step(keep))


def test_a_memory_of_the_last_episode(expect):
    """Where an episode begins it cannot be seen, but in the step after."""

    def hurry(data, before, memory, is_reset):
        was_fast = jnp.max(jnp.abs(before.qvel)) > 1e30
        qpos = data.qpos + jnp.where(is_reset, 0.0, memory)
        return data.replace(qpos=qpos), jnp.maximum(memory, was_fast.astype(jnp.float32))

    rule = "nothing of the last episode is left where one begins"
    expect(rule, "qpos[0, 0] is", **with_memory(hurry))


def test_a_memory_outside_the_data(expect):
    calls = []

    def step(self, fields, data, ctrl, start, is_reset):
        def count(x):
            calls.append(1)
            return np.float32(len(calls))

        shape = jax.ShapeDtypeStruct((), jnp.float32)
        number = jax.pure_callback(count, shape, data.time, vmap_method="sequential")
        stepped = self.native.step(fields, data, ctrl, start, is_reset)
        return stepped.replace(qfrc_bias=stepped.qfrc_bias + number)

    expect("the same step gives the same", "qfrc_bias", step=step)


def test_a_push_that_is_lost(expect):
    def step(self, fields, data, ctrl, start, is_reset):
        # The velocity travels in another field, where nobody replaces it.
        data = data.replace(qvel=data.qfrc_bias)
        stepped = self.native.step(fields, data, ctrl, start, is_reset)
        return stepped.replace(qfrc_bias=stepped.qvel)

    rule = "a velocity that was replaced is continued from"
    expect(rule, "that it should change", step=step)


def test_another_mechanics(expect):
    def step(self, fields, data, ctrl, start, is_reset):
        return self.native.step(fields, data, 1.1 * ctrl, start, is_reset)

    expect("a step is that of native MuJoCo", "after a step", step=step)


def test_model_fields_that_are_not_used(expect):
    def step(self, fields, data, ctrl, start, is_reset):
        return self.native.step({}, data, ctrl, start, is_reset)

    expect("a step is that of native MuJoCo", "after a start", step=step)


def test_weak_types_compile_twice(expect):
    def forget(data, before, memory, is_reset):
        return data, jnp.where(is_reset, 1.0, 2.0)  # a float32 as Python's numbers are

    expect("one compilation serves all steps", "they need 2", **with_memory(forget))


def test_simulations_that_know_each_other(expect):
    @jax.custom_batching.custom_vmap
    def mean(x):
        return x

    @mean.def_vmap
    def mean_of_all(axis_size, in_batched, x):
        return jnp.broadcast_to(jnp.mean(x, axis=0), x.shape), in_batched[0]

    def step(self, fields, data, ctrl, start, is_reset):
        stepped = self.native.step(fields, data, ctrl, start, is_reset)
        # Not where episodes begin, and too little to be noticed beside native MuJoCo.
        pull = jnp.where(is_reset, 0.0, 1e-4) * (mean(stepped.qvel) - stepped.qvel)
        return stepped.replace(qvel=stepped.qvel + pull)

    expect("a simulation does not depend on those beside it", "qvel is", step=step)
