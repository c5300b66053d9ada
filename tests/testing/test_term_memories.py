"""The suite of terms tries what a term remembers beyond an episode."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ksim
from ksim.testing import check_term
from tests.remembering_task import Endings, EpisodesSoFar, LongerIsHarder


@pytest.fixture(scope="module")
def model():
    mj_model = ksim.load_mjcf(ksim.asset_path("cartpole.xml"))
    return ksim.PhysicsModel.create(mj_model, dt=0.01, ctrl_dt=0.02)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best(ksim.Reward):
    """Keeps all rules: remembers the longest episode of its environment, and of all."""

    def init_memory(self, key):
        return {"longest": jnp.float32(0), "luck": jax.random.normal(key)}

    def init_run(self, key):
        return {"total": jnp.float32(0), "luck": jax.random.normal(key)}

    def begin(self, memory, run_memory, key):
        return memory["longest"] + run_memory["total"]

    def __call__(self, state, carry):
        return state.time - carry, carry

    def after_episode(self, memory, carry, episode):
        return memory | {"longest": jnp.maximum(memory["longest"], episode.state.time)}

    def contribute(self, memory, carry, episode):
        return episode.state.time

    def after_rollout(self, run_memory, sums, progress):
        return run_memory | {"total": run_memory["total"] + sums}


@pytest.fixture
def expect(model):
    """Expects that a reward with these methods breaks a rule."""

    def expect(rule, details, error=AssertionError, base=Best, **members):
        term = dataclasses.dataclass(frozen=True)(type("Broken", (base,), members))()
        with pytest.raises(error) as caught:
            check_term(term, model)
        message = str(caught.value)
        for text in (f'Broken breaks the rule "{rule}": ', details, "Instead, "):
            assert text in message

    return expect


@pytest.mark.parametrize("term", [Best(), EpisodesSoFar(), Endings(), LongerIsHarder()])
def test_rules_are_kept(term, model):
    check_term(term, model, terminations=Endings.reasons())


def test_terminations_are_those_given(model):
    with pytest.raises(KeyError, match="moved"):
        check_term(Endings(), model)


def test_a_memory_of_the_environment_keeps_its_types(expect):
    expect(
        "a memory keeps its structure, shapes and dtypes",
        "['longest'] is float32[], then int32[]. Instead, let after_episode return what",
        TypeError,
        after_episode=lambda self, memory, *_: memory | {"longest": jnp.int32(0)},
    )


def test_a_memory_of_the_run_keeps_its_types(expect):
    expect(
        "a memory keeps its structure, shapes and dtypes",
        "['total'] is float32[], then None. Instead, let after_rollout return what",
        TypeError,
        after_rollout=lambda self, memory, *_: {"luck": memory["luck"]},
    )


def test_contributions_that_are_lost(expect):
    expect(
        "contributions go to a memory of the run",
        "and init_run returns ()",
        init_run=lambda self, key: (),
        begin=lambda self, memory, run_memory, key: memory["longest"],
        after_rollout=lambda self, run_memory, sums, progress: run_memory,
    )


def test_a_memory_that_is_changed_in_place(expect):
    def after_episode(self, memory, carry, episode):
        memory["longest"] = memory["longest"] + 1
        return dict(memory)

    rule = "no method changes its memory in place"
    expect(rule, "[0][0]['longest'] is 0.0, then 1.0", after_episode=after_episode)


def test_a_memory_that_is_not_finite(expect):
    def after_rollout(self, run_memory, sums, progress):
        return run_memory | {"total": sums / jnp.float32(0)}

    expect("memories are finite", "after_rollout['total'] is inf", after_rollout=after_rollout)


@pytest.mark.parametrize("method", ["init_memory", "init_run"])
def test_randomness_of_numpy(method, expect):
    def draw(self, key):
        return getattr(Best(), method)(key) | {"luck": jnp.float32(np.random.normal())}

    rule = "the same episodes leave the same memories"
    expect(rule, f"{method}['luck'] is", **{method: draw})


def test_a_batching_rule_that_mixes_environments(expect):
    @jax.custom_batching.custom_vmap
    def same(x):
        return x

    @same.def_vmap
    def mean_of_all(axis_size, in_batched, x):
        return jnp.broadcast_to(jnp.mean(x, axis=0), x.shape), in_batched[0]

    def after_episode(self, memory, carry, episode):
        return memory | {"longest": same(episode.state.time)}

    rule = "memories are the same where all environments are compiled together"
    expect(rule, "after_episode['longest']", after_episode=after_episode)


def test_weak_types_compile_twice(expect):
    def init_memory(self, key):
        return {"longest": jnp.asarray(0.0), "luck": jax.random.normal(key)}

    expect("one compilation serves all episodes", "two episodes need 2", init_memory=init_memory)


def test_a_curriculum_has_no_other_memory(expect):
    rule = "a curriculum remembers in its carry"
    found = "it remembers ((), Array(0."
    expect(rule, found, base=LongerIsHarder, init_run=lambda self, key: jnp.float32(0))


@pytest.mark.parametrize(
    ("rule", "found", "error", "next_level"),
    [
        (
            "next_level returns a single number",
            "it returns (ShapeDtypeStruct(shape=(), dtype=float32), ())",
            TypeError,
            lambda self, level, episode: (level, ()),
        ),
        (
            "levels lie between 0 and 1",
            "next_level gives 1.125 after 1.0",
            AssertionError,
            lambda self, level, episode: level + 0.125,
        ),
        (
            "next_level is pure and can be compiled",
            "next_level",
            AssertionError,
            lambda self, level, episode: jnp.float32(np.random.uniform()),
        ),
    ],
)
def test_levels_of_environments(rule, found, error, next_level, expect):
    expect(rule, found, error, base=LongerIsHarder, next_level=next_level)
