"""The conformance suite accepts what keeps the contract, and names the rule that is broken."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import struct

from ksim import CartPole
from ksim.envs import ContinuousActions, DiscreteActions, Environment, Timestep
from ksim.testing import check_environment


class Walk(Environment):
    """A random walk along a line, which keeps all rules; the tests below break one each."""

    action_space = ContinuousActions(1)

    def reset(self, key):
        state = {"x": jax.random.normal(key), "num_steps": jnp.int32(0)}
        return state, {"x": state["x"]}

    def step(self, state, action, key):
        x = state["x"] + 0.1 * jnp.tanh(action[0]) + 0.1 * jax.random.normal(key)
        state = {"x": x, "num_steps": state["num_steps"] + 1}
        return state, Timestep(
            observations={"x": x},
            reward=-jnp.abs(x),
            is_terminated=jnp.abs(x) > 2,
            is_truncated=state["num_steps"] >= 5,
            metrics={"distance": jnp.abs(x)},
            terminations={"left": jnp.abs(x) > 2},
        )


def with_reset(change):
    """A walk whose reset goes through `change(self, state, observations, key)`."""

    class Broken(Walk):
        def reset(self, key):
            return change(self, *super().reset(key), key)

    return Broken()


def with_step(change):
    """A walk whose step goes through `change(self, old_state, state, timestep, action)`."""

    class Broken(Walk):
        def step(self, state, action, key):
            return change(self, state, *super().step(state, action, key), action)

    return Broken()


def with_member(**members):
    return type("Broken", (Walk,), members)()


def start_at_zero(key):
    del key
    return {"x": jnp.float32(0), "num_steps": jnp.int32(0)}, {"x": jnp.zeros(())}


def expect(environment, rule, details, error=AssertionError, num_steps=20):
    with pytest.raises(error) as caught:
        check_environment(environment, num_steps)
    message = str(caught.value)
    for text in (f'Broken breaks the rule "{rule}": ', details, "Instead, "):
        assert text in message


@struct.dataclass
class Count:
    x: jax.Array
    key: jax.Array


class Countdown(Environment):
    """Keeps all rules: no randomness, a key in the state, discrete actions, a step_or_reset."""

    action_space = DiscreteActions(3)

    def reset(self, key):
        del key
        return Count(jnp.float32(7), jax.random.key(3)), {"x": jnp.full((2, 1), 7.0)}

    def step(self, state, action, key):
        del key
        state = state.replace(x=state.x - action.astype(jnp.float32))
        is_over = state.x <= 0
        return state, Timestep(
            {"x": jnp.full((2, 1), state.x)}, jnp.float32(1), is_over, jnp.bool_(False)
        )

    def step_or_reset(self, state, action, key, is_reset, context):
        fresh, _ = self.reset(key)
        stepped, timestep = self.step(state, action, key)
        state = jax.tree.map(lambda x, y: jnp.where(is_reset, x, y), fresh, stepped)
        return state, timestep.replace(
            observations={"x": jnp.full((2, 1), state.x)},
            reward=jnp.where(is_reset, 0.0, timestep.reward),
            is_terminated=timestep.is_terminated & ~is_reset,
        )


class TestTypes:
    @pytest.fixture(autouse=True)
    def types_are_not_checked_at_run_time(self):
        """As in a user's program: the suite has to find what is wrong."""
        jaxtyping.config.update("jaxtyping_disable", True)
        yield
        jaxtyping.config.update("jaxtyping_disable", False)

    @pytest.mark.parametrize("space", [2, DiscreteActions(0), ContinuousActions])
    def test_action_space(self, space):
        environment = with_member(action_space=space)
        expect(environment, "there are actions", f"action_space is {space!r}", TypeError)

    def test_reset_returns_a_pair(self):
        environment = with_reset(lambda self, state, observations, key: observations)
        rule = "reset returns a state and observations"
        expect(environment, rule, "it returns dict", TypeError)

    @pytest.mark.parametrize(
        ("observe", "found"),
        [
            (lambda x: x, "reset gives ShapeDtypeStruct"),
            (lambda x: {}, "reset gives {}"),
            (lambda x: {"x": {"inner": x}}, "'inner'"),
            (lambda x: {"x": x.astype(jnp.int32)}, "int32"),
            (lambda x: {"x": x.astype(jnp.bfloat16)}, "bfloat16"),
        ],
    )
    def test_observations(self, observe, found):
        environment = with_reset(
            lambda self, state, observations, key: (state, observe(state["x"]))
        )
        expect(environment, "observations are float32 arrays by name", found, TypeError)

    @pytest.mark.parametrize(
        "result", [lambda s, t: t, lambda s, t: (s, t.observations), lambda s, t: (s, t, {})]
    )
    def test_step_returns_a_pair(self, result):
        environment = with_step(lambda self, old, state, timestep, action: result(state, timestep))
        expect(environment, "step returns a state and a Timestep", "it returns", TypeError)

    @pytest.mark.parametrize(
        ("field", "value", "found"),
        [
            ("reward", lambda x: x[None], "reward is float32[1]"),
            ("reward", lambda x: x.astype(jnp.float16), "reward is float16[]"),
            ("is_terminated", lambda x: x.astype(jnp.float32), "is_terminated is float32[]"),
            ("is_truncated", lambda x: x[None], "is_truncated is bool[1]"),
            ("terminations", lambda x: {"left": jnp.int32(0)}, "terminations['left'] is int32[]"),
            ("metrics", lambda x: {"feet": jnp.zeros(2)}, "metrics['feet'] is float32[2]"),
        ],
    )
    def test_scalars(self, field, value, found):
        def change(self, old, state, timestep, action):
            return state, timestep.replace(**{field: value(getattr(timestep, field))})

        rule = "the reward and metrics are single numbers, flags are single booleans"
        expect(with_step(change), rule, found, TypeError)


@pytest.mark.parametrize(
    ("state_change", "found"),
    [
        ({"x": jnp.zeros(3)}, "['state']['x'] is float32[], then float32[3]"),
        ({"num_steps": jnp.float32(0)}, "['state']['num_steps'] is int32[], then float32[]"),
        ({"last": jnp.float32(0)}, "['state']['last'] is None, then float32[]"),
    ],
)
def test_state_keeps_its_types(state_change, found):
    environment = with_step(
        lambda self, old, state, timestep, action: (state | state_change, timestep)
    )
    expect(environment, "states and observations keep their shapes and dtypes", found)


def test_observations_keep_their_types():
    def change(self, old, state, timestep, action):
        return state, timestep.replace(observations={"y": state["x"]})

    rule = "states and observations keep their shapes and dtypes"
    expect(with_step(change), rule, "['observations']['x'] is float32[], then None")


def test_containers_stay_the_same():
    class Broken(Walk):
        def reset(self, key):
            state, observations = super().reset(key)
            return (state,), observations

        def step(self, state, action, key):
            state, timestep = super().step(state[0], action, key)
            return [state], timestep

    rule = "states and observations keep their shapes and dtypes"
    expect(Broken(), rule, "[{'num_steps': *, 'x': *}]")


def test_python_branch_on_an_array():
    def change(self, old, state, timestep, action):
        if state["x"] > 0:
            timestep = timestep.replace(reward=jnp.float32(1))
        return state, timestep

    rule = "methods are functions of JAX arrays"
    expect(with_step(change), rule, "TracerBoolConversionError", TypeError)


def test_numpy_on_an_array():
    environment = with_reset(
        lambda self, state, observations, key: (state, {"x": jnp.asarray(np.sin(state["x"]))})
    )
    rule = "methods are functions of JAX arrays"
    expect(environment, rule, "TracerArrayConversionError", TypeError)


def test_array_kept_in_self():
    def change(self, old, state, timestep, action):
        last = getattr(self, "last", jnp.float32(0))
        self.last = state["x"]
        return state, timestep.replace(reward=state["x"] - last)

    rule = "methods are functions of JAX arrays"
    expect(with_step(change), rule, "UnexpectedTracerError", TypeError)


def test_declared_observation_shapes():
    environment = with_member(observation_shapes=lambda self: {"x": (1,)})
    expect(environment, "observation_shapes is right", "x is (), then (1,)")


def test_declared_initial_state():
    environment = with_member(
        initial_state=lambda self: {"x": jnp.zeros(()), "num_steps": jnp.zeros(())}
    )
    rule = "initial_state is like a state of reset"
    expect(environment, rule, "['num_steps'] is int32[], then float32[]")


def test_state_changed_in_place():
    def change(self, old, state, timestep, action):
        old["x"] = old["x"] + 1
        return state, timestep

    expect(with_step(change), "step changes no argument", "['x']")


def test_randomness_of_numpy():
    environment = with_reset(
        lambda self, state, observations, key: (
            state | {"x": jnp.float32(np.random.normal())},
            observations,
        )
    )
    expect(environment, "reset is pure and can be compiled", "['x']")


def test_counter_in_self():
    def change(self, old, state, timestep, action):
        self.count = getattr(self, "count", 0) + 1
        return state, timestep.replace(reward=jnp.float32(self.count))

    expect(with_step(change), "step is pure and can be compiled", "reward")


def test_compiled_differs_from_eager():
    def change(self, state, observations, key):
        is_eager = not isinstance(key, jax.core.Tracer)
        return state, {"x": state["x"] + is_eager}

    expect(with_reset(change), "reset is pure and can be compiled", "['x']")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reward", lambda steps: jnp.log(4.0 - steps)),
        ("observations", lambda steps: {"x": 1.0 / (4.0 - steps)}),
        ("metrics", lambda steps: {"distance": 1.0 / (4.0 - steps)}),
    ],
)
def test_number_becomes_infinite(field, value):
    def change(self, old, state, timestep, action):
        return state, timestep.replace(**{field: value(state["num_steps"])})

    environment = with_step(change)
    environment.reset = start_at_zero
    # The first call starts the episode (step 0), so the 4th step of the walk is call number 4.
    expect(environment, "numbers are finite", f"{field}")
    expect(environment, "numbers are finite", "in step 4")


def test_weak_types_compile_twice():
    class Broken(Walk):
        def reset(self, key):
            del key
            return {"x": jnp.asarray(0.0), "num_steps": jnp.int32(0)}, {"x": jnp.zeros(())}

        def step(self, state, action, key):
            state, timestep = super().step(state, action, key)
            return state | {"x": jnp.where(state["x"] > 0, 1.0, -1.0)}, timestep

    expect(Broken(), "one compilation serves all calls", "step_or_reset needs 2")


class WithStepOrReset(Walk):
    """Keeps all rules: the default step_or_reset, with its parts in reach."""

    def fresh(self, state, key):
        return self.reset(key)[0]

    def stepped(self, state, action, key):
        return self.step(state, action, key)

    def start_reward(self):
        return 0.0

    def step_or_reset(self, state, action, key, is_reset, context):
        fresh = self.fresh(state, key)
        state, timestep = self.stepped(state, action, key)
        state = jax.tree.map(lambda x, y: jnp.where(is_reset, x, y), fresh, state)
        return state, timestep.replace(
            observations={"x": state["x"]},
            reward=jnp.where(is_reset, self.start_reward(), timestep.reward),
            is_terminated=timestep.is_terminated & ~is_reset,
            is_truncated=timestep.is_truncated & ~is_reset,
            metrics={"distance": jnp.abs(state["x"])},
            terminations={"left": timestep.terminations["left"] & ~is_reset},
        )


def with_part(**members):
    return type("Broken", (WithStepOrReset,), members)()


@pytest.mark.parametrize("environment", [CartPole(), Walk(), Countdown(), WithStepOrReset()])
def test_rules_are_kept(environment):
    check_environment(environment, num_steps=50, seed=3)


def test_new_episode_forgets_the_last():
    environment = with_part(
        fresh=lambda self, state, key: self.reset(key)[0] | {"num_steps": state["num_steps"]}
    )
    expect(environment, "a new episode forgets the last one", ".is_truncated is False, then True")


def test_new_episode_gives_no_reward():
    environment = with_part(start_reward=lambda self: 1.0)
    expect(environment, "a new episode begins without reward and flags", "{'[0]': array(1.")


def test_new_episodes_differ():
    environment = with_part(fresh=lambda self, state, key: self.reset(jax.random.key(0))[0])
    expect(environment, "new episodes differ as resets do", "step_or_reset starts all")


def test_step_or_reset_steps():
    environment = with_part(stepped=lambda self, s, action, key: self.step(s, -action, key))
    # Random steps are compared only if drawn by the key that is given, or by the default's.
    environment.step = lambda state, action, key: Walk.step(
        environment, state, action, jax.random.key(0)
    )
    expect(environment, "step_or_reset steps as step does", "[0]['x']")


def test_custom_batching_rule():
    @jax.custom_batching.custom_vmap
    def double(x):
        return 2 * x

    @double.def_vmap
    def double_all(axis_size, in_batched, x):
        return 2 * x[::-1], in_batched[0]

    def change(self, old, state, timestep, action):
        return state, timestep.replace(reward=double(state["x"]))

    expect(with_step(change), "jax.vmap equals a loop", "reward")


def test_trial_is_as_long_as_asked():
    def change(self, old, state, timestep, action):
        is_late = state["num_steps"] == 5
        return state, timestep.replace(reward=jnp.where(is_late, jnp.nan, timestep.reward))

    environment = with_step(change)
    environment.reset = start_at_zero
    check_environment(environment, num_steps=5)
    with pytest.raises(AssertionError, match="numbers are finite"):
        check_environment(environment, num_steps=6)
