"""The suite of terms accepts what keeps the contract, and names the rule that is broken."""

import dataclasses

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import ksim
from ksim import Actuators, Command, Curriculum, Event, Randomizer, Reset
from ksim.testing import check_term


@pytest.fixture(scope="module")
def model():
    mj_model = ksim.load_mjcf(ksim.asset_path("cartpole.xml"))
    return ksim.PhysicsModel.create(mj_model, dt=0.01, ctrl_dt=0.02)


@pytest.fixture
def expect(model):
    """Expects that a term breaks a rule."""

    def expect(term, rule, details, error=AssertionError, **options):
        with pytest.raises(error) as caught:
            check_term(term, model, **options)
        message = str(caught.value)
        for text in (f'Broken breaks the rule "{rule}": ', details, "Instead, "):
            assert text in message

    return expect


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeUpReward(ksim.Reward):
    """Keeps all rules: the time since the cart was left of the middle, s; at most 2."""

    def init(self, key):
        return {"time": jnp.zeros(())}

    def __call__(self, state, carry):
        is_right = state.physics.qpos[0] > 0
        time = jnp.where(is_right, carry["time"] + 0.02, 0.0)
        return jnp.minimum(time, 2.0), {"time": time}


def reward(call, init=None):
    """A reward that calls `call(state, carry)`, with a memory of `init()`."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Broken(ksim.Reward):
        def init(self, key):
            return () if init is None else init()

        def __call__(self, state, carry):
            return call(state, carry)

    return Broken()


def of_family(family, result, **members):
    """A term of a family whose call returns `result(*arguments)`."""
    methods = {"__call__": lambda self, *arguments: result(*arguments), **members}
    return dataclasses.dataclass(frozen=True)(type("Broken", (family,), methods))()


def position(state):
    return state.physics.qpos[0]


def test_rules_are_kept(model):
    check_term(TimeUpReward(), model, value_range=(0.0, 2.0))


@pytest.mark.parametrize(
    ("thing", "hint"),
    [(TimeUpReward, r"Write TimeUpReward\(...\) instead of the class"), (None, "found None")],
)
def test_only_terms_are_tried(thing, hint, model, monkeypatch):
    # As in a user's program: jaxtyping would say it in its own words.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match=hint):
        check_term(thing, model)


def test_a_family_is_needed(expect):
    expect(of_family(ksim.Term, lambda: 0), "a term belongs to one family", "[]", TypeError)


def test_a_term_that_can_be_changed(expect):
    @dataclasses.dataclass
    class Broken(ksim.Termination):
        def __call__(self, state, carry):
            return position(state) > 1, carry

    rule = "a term is a frozen dataclass of plain values"
    expect(Broken(), rule, "unhashable type: 'Broken'", TypeError)


def test_an_array_is_no_plain_value(expect):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Broken(TimeUpReward):
        weights: object = dataclasses.field(default_factory=lambda: jnp.ones(3))

    rule = "a term is a frozen dataclass of plain values"
    expect(Broken(), rule, "unhashable type", TypeError)


def test_a_class_that_is_no_dataclass(expect):
    class Broken(ksim.Termination):
        def __init__(self):
            self.limit = 1.0

        def __call__(self, state, carry):
            return position(state) > self.limit, carry

    rule = "a term is a frozen dataclass of plain values"
    expect(Broken(), rule, "a copy of it is not equal to it", TypeError)


@pytest.mark.parametrize("value", [lambda state, carry: position(state), lambda *_: (1, 2, 3)])
def test_value_and_carry(value, expect):
    expect(reward(value), "a call returns its value and its carry", "it returns", TypeError)


@pytest.mark.parametrize(
    ("term", "advice"),
    [
        (reward(lambda state, carry: (state.physics.qpos, carry)), "return a single number"),
        (reward(lambda state, carry: (None, carry)), "return an array of jax.numpy"),
        (
            of_family(ksim.Termination, lambda state, carry: (state.physics.qpos > 0, carry)),
            "return a single boolean",
        ),
        (
            of_family(ksim.Observation, lambda state, carry, key: (jnp.zeros(0), carry)),
            "return at least one number",
        ),
        (
            of_family(Event, lambda state, carry, key: (jnp.zeros(1), carry)),
            "return a change of every velocity",
        ),
        (
            of_family(Reset, lambda start, level, carry, key: (start.qpos, carry)),
            "as start.replace(qpos=...) does",
        ),
        (
            of_family(
                Randomizer,
                lambda fields, carry, key: (fields["body_mass"], carry),
                fields=("body_mass",),
            ),
            "return its fields by name: {body_mass: float32[3]}",
        ),
        (
            of_family(
                Actuators,
                lambda action, physics, carry, key: (jnp.zeros(2), carry),
                ctrl_ids=(0,),
            ),
            "return a control for each of its ctrl_ids: 1 numbers",
        ),
        (
            of_family(Curriculum, lambda progress, carry: (jnp.ones(2), carry), initial_level=0.0),
            "return a single number",
        ),
    ],
)
def test_what_a_family_returns(term, advice, expect):
    expect(term, "a value is one of its family", advice, TypeError)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float16, bool])
def test_values_of_other_dtypes(dtype, expect):
    term = reward(lambda state, carry: (position(state).astype(dtype), carry))
    expect(term, "values are float32", f"the value is {jnp.dtype(dtype).name}", TypeError)


@pytest.mark.parametrize(
    ("init", "moved_on", "found"),
    [
        (lambda: jnp.zeros(()), jnp.zeros(2), "is float32[], then float32[2]"),
        (lambda: jnp.int32(0), jnp.zeros(()), "is int32[], then float32[]"),
        (lambda: (), jnp.zeros(()), "is None, then float32[]"),
        (lambda: (jnp.zeros(()),), [jnp.zeros(())], "PyTreeDef((*,)) is not PyTreeDef([*])"),
    ],
)
def test_a_carry_keeps_its_types(init, moved_on, found, expect):
    term = reward(lambda state, carry: (position(state), moved_on), init)
    expect(term, "a carry keeps its structure, shapes and dtypes", found, TypeError)


def test_a_branch_on_an_array(expect):
    term = reward(lambda state, carry: (position(state) if position(state) > 0 else 0.0, carry))
    rule = "methods are functions of JAX arrays"
    expect(term, rule, "TracerBoolConversionError", TypeError)


def test_an_argument_that_is_changed(expect):
    def call(state, carry):
        carry["time"] = carry["time"] + 1
        return position(state), {"time": carry["time"]}

    term = reward(call, lambda: {"time": jnp.zeros(())})
    expect(term, "a call changes no argument", "[1]['time'] is 0.0, then 1.0")


def test_randomness_of_numpy(expect):
    term = reward(lambda state, carry: (position(state) + np.random.normal(), carry))
    expect(term, "the same call gives the same", "[0] is")


def test_compiled_differs_from_eager(expect):
    def call(state, carry):
        is_traced = isinstance(state.time, jax.core.Tracer)
        return position(state) + (0.0 if is_traced else 1.0), carry

    expect(reward(call), "a call can be compiled", "[0][0] is")


def test_custom_batching_rule(expect):
    @jax.custom_batching.custom_vmap
    def double(x):
        return 2 * x

    @double.def_vmap
    def double_all(axis_size, in_batched, x):
        return 2 * x[::-1], in_batched[0]

    term = reward(lambda state, carry: (double(position(state)), carry))
    expect(term, "jax.vmap equals a loop", "[0][0] is")


def test_weak_types_compile_twice(expect):
    term = reward(
        lambda state, carry: (position(state), carry + state.time), lambda: jnp.asarray(0.0)
    )
    expect(term, "one compilation serves all calls", "two calls need 2")


@pytest.mark.parametrize("number", [jnp.inf, jnp.nan])
def test_numbers_that_are_not_finite(number, expect):
    # Only in the second call: the first gives the carry 1.
    term = reward(
        lambda s, carry: (jnp.where(carry, number, 0.0), True | carry), lambda: jnp.bool_(0)
    )
    expect(term, "values are finite", f"the value is {number}")


def test_a_promise_that_is_not_kept(expect, model):
    term = reward(lambda state, carry: (2.0 + 0 * position(state), carry))
    check_term(term, model, value_range=(2.0, 2.0))
    expect(term, "values lie between 0 and 1", "the value is 2.0", value_range=(0.0, 1.0))


@pytest.mark.parametrize(("initial", "level"), [(0.0, 1.5), (-0.5, 1.0)])
def test_levels_lie_between_0_and_1(initial, level, expect):
    term = of_family(
        Curriculum, lambda progress, carry: (jnp.float32(level), carry), initial_level=initial
    )
    expect(term, "values lie between 0 and 1", f"is {level if level > 1 else initial}")


def test_a_field_that_no_model_has(expect):
    term = of_family(Randomizer, lambda fields, carry, key: (fields, carry), fields=("body_mas",))
    expect(term, "fields are numbers of the model", 'Did you mean "body_mass"?')


def test_a_control_that_the_model_has_not(expect):
    term = of_family(
        Actuators, lambda action, physics, carry, key: (action, carry), ctrl_ids=(0, 1)
    )
    expect(term, "ctrl_ids are controls of the model", "the model has 1, and ctrl_ids are (0, 1)")


def test_commands_are_those_given(model):
    @dataclasses.dataclass(frozen=True)
    class Follow(Command):
        def __call__(self, state, carry, key):
            return state.commands["turn"] + jax.random.normal(key, (3,)), carry

    check_term(Follow(), model, commands={"turn": 3})
    with pytest.raises(KeyError, match="turn"):
        check_term(Follow(), model)


@pytest.mark.parametrize("scale", [np.nan, "1", (1.0, 2.0)])
def test_a_scale_that_is_no_number(scale, expect):
    term = dataclasses.replace(reward(lambda state, carry: (position(state), carry)), scale=scale)
    expect(term, "a scale is a finite number", f"scale is {scale!r}")


def test_a_time_out_that_depends_on_the_state(expect):
    term = of_family(
        ksim.Termination,
        lambda state, carry: (position(state) > 1, carry),
        is_time_out=lambda self: True,
    )
    expect(term, "is_time_out is True or False", "it is <bound method", TypeError)


@pytest.mark.parametrize("fields", [(), "body_mass"])
def test_fields_that_are_no_tuple_of_names(fields, expect):
    term = of_family(Randomizer, lambda fields, carry, key: (fields, carry), fields=fields)
    expect(term, "fields are numbers of the model", f"fields are {fields!r}", TypeError)


def test_a_control_that_is_driven_twice(expect):
    term = of_family(
        Actuators, lambda action, physics, carry, key: (action, carry), ctrl_ids=(0, 0)
    )
    expect(term, "ctrl_ids are controls of the model", "ctrl_ids are (0, 0)")


def test_a_field_that_is_always_zero(expect):
    term = reward(lambda state, carry: (jnp.sum(state.physics.cfrc_ext), carry))
    rule = "fields that are read are computed"
    expect(term, rule, "A term reads physics.cfrc_ext, which MuJoCo does not compute")


def test_randomness_of_numpy_where_an_episode_begins(expect):
    term = reward(
        lambda state, carry: (carry, carry), lambda: jnp.asarray(np.random.normal(), jnp.float32)
    )
    expect(term, "the same call gives the same", "['init'] is")
