"""The suite of algorithms tries how one acts, remembers and learns, on one device and on two."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import ksim
from ksim.testing import check_algorithm
from tests.small_algorithm import (
    MODEL,
    Leaning,
    Wandering,
    after_remember,
    after_update,
    broken,
    changed_policy,
    expect,
)


@pytest.fixture(autouse=True)
def types_are_not_checked_at_run_time(monkeypatch):
    """As in a user's program: the suite has to find what is wrong."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


class TestPolicies:
    def test_a_function_is_no_policy(self):
        def policy(self, learner, normalizer, is_deterministic):
            return lambda observations: 0

        expect("policy returns a Policy", "it returns <function", TypeError, policy=policy)

    def test_a_decision(self):
        policy = changed_policy(act=lambda self, observations, carry, key: (0, carry))
        expect("act returns a Decision", "act returns (0, {", TypeError, policy=policy)

    @pytest.mark.parametrize(
        ("part", "value", "rule", "found"),
        [
            (
                "carry",
                {"num_steps": jnp.int32(0)},
                "a policy's carry keeps its types",
                "['num_steps'] is float32[], then int32[]",
            ),
            (
                "action",
                jnp.zeros(2),
                "an action is one of the environment",
                "act gives float32[2]. Instead, give int32[]",
            ),
            ("kept", (), "what is kept is arrays by name", "act keeps ()"),
        ],
    )
    def test_parts_of_a_decision(self, part, value, rule, found):
        def act(self, *arguments):
            return Leaning.act(self, *arguments)._replace(**{part: value})

        expect(rule, found, TypeError, policy=changed_policy(act=act))

    def test_a_review_of_something_else(self):
        policy = changed_policy(review=lambda self, observations, *_: {"value": jnp.zeros(2)})
        rule = "review keeps all steps of all environments"
        expect(rule, "value is [2]", TypeError, policy=policy)

    def test_two_things_of_one_name(self):
        policy = changed_policy(review=lambda self, *_: {"lean": jnp.zeros((2, 1))})
        rule = "what is kept has one name each"
        expect(rule, "act and review both keep ['lean']", policy=policy)

    def test_randomness_of_numpy(self):
        def act(self, *arguments):
            decision = Leaning.act(self, *arguments)
            return decision._replace(kept={"luck": jnp.float32(np.random.normal())})

        rule = "the same decision gives the same"
        expect(rule, "['kept']['luck'] is", policy=changed_policy(act=act))

    def test_exploring_where_it_should_not(self):
        def act(self, observations, carry, key):
            anything = jax.random.randint(key, (), 0, 2**30)
            return Leaning.act(self, observations, carry, key)._replace(action=anything)

        rule = "a deterministic policy does not explore"
        expect(rule, "['action'] is", policy=changed_policy(act=act))

    def test_numbers_that_are_not_finite(self):
        policy = changed_policy(conclude=lambda self, observations, carry: {"x": jnp.log(-1.0)})
        expect("what a policy keeps is finite", "['final']['x'] has [nan]", policy=policy)

    def test_a_review_by_numpy(self):
        def review(self, observations, carry, is_valid):
            value = observations["state"] @ self.weights
            return {"value": value + jnp.float32(np.random.normal())}

        expect("acting is deterministic", ".kept['value']", policy=changed_policy(review=review))

    def test_environments_that_know_each_other(self):
        def review(self, observations, carry, is_valid):
            values = observations["state"] @ self.weights
            return {"value": values - jnp.mean(values)}

        rule = "acting does not depend on the number of devices"
        expect(rule, ".kept['value']", policy=changed_policy(review=review))


class TestLearning:
    @pytest.mark.parametrize(
        ("change", "found"),
        [
            (lambda memory: memory | {"last": memory["last"][:, :3]}, "['last'] is float32[4,"),
            (lambda memory: {"reward": memory["reward"]}, "['last'] is float32[4, 4], then None"),
        ],
    )
    def test_a_memory_of_other_types(self, change, found):
        rule = "an iteration keeps structure, shapes and dtypes"
        expect(rule, found, TypeError, num_envs=4, remember=after_remember(change))

    @pytest.mark.parametrize(
        ("change", "found"),
        [
            (
                lambda learner, memory, metrics, _: (
                    learner | {"count": jnp.float32(0)},
                    memory,
                    metrics,
                ),
                "['learner']['count'] is int32[], then float32[]",
            ),
            (
                lambda learner, memory, metrics, _: (learner, (), metrics),
                "['memory']['last'] is float32[4, 4], then None",
            ),
        ],
    )
    def test_results_of_other_types(self, change, found):
        rule = "an iteration keeps structure, shapes and dtypes"
        expect(rule, found, TypeError, update=after_update(change))

    def test_three_results(self):
        update = after_update(lambda learner, memory, metrics, _: (learner, metrics))
        rule = "update returns three things"
        expect(rule, "it returns a tuple of 2", TypeError, update=update)

    @pytest.mark.parametrize(
        ("metrics", "rule", "found", "error"),
        [
            (0.0, "metrics are float32 numbers by name", "update returns 0.0", TypeError),
            (
                {"loss/a": jnp.zeros(2)},
                "metrics are float32 numbers by name",
                "loss/a is float32[2]",
                TypeError,
            ),
            (
                {"loss/a": jnp.int32(0)},
                "metrics are float32 numbers by name",
                "loss/a is int32[]",
                TypeError,
            ),
            (
                {"curriculum/level": jnp.float32(0)},
                "metrics have names of their own",
                'every run logs "curriculum/level"',
                ValueError,
            ),
            (
                {"loss/a": jnp.float32(jnp.inf)},
                "metrics are finite",
                "['loss/a'] has [inf]",
                AssertionError,
            ),
        ],
    )
    def test_metrics(self, metrics, rule, found, error):
        update = after_update(lambda learner, memory, _, trajectory: (learner, memory, metrics))
        expect(rule, found, error, update=update)

    def test_a_learner_that_is_not_finite(self):
        def change(learner, memory, metrics, trajectory):
            return learner | {"weights": learner["weights"] / 0.0}, memory, metrics

        expect("a learner stays finite", "['weights'] has [", update=after_update(change))

    def test_a_branch_on_an_array(self):
        def change(learner, memory, metrics, trajectory):
            if learner["count"] > 0:
                metrics = {}
            return learner, memory, metrics

        rule = "methods are functions of JAX arrays"
        expect(rule, "TracerBoolConversionError", TypeError, update=after_update(change))

    def test_a_count_in_self(self):
        count = []

        def change(learner, memory, metrics, trajectory):
            count.append(1)
            return learner, memory, metrics | {"loss/n": jnp.float32(len(count))}

        def remember(self, memory, trajectory, normalizer):
            count.append(1)
            memory = Wandering.remember(self, memory, trajectory, normalizer)
            return memory | {"reward": memory["reward"] + len(count)}

        expect("learning is deterministic", "['reward']", remember=remember)
        count.clear()
        expect("learning is deterministic", "['loss/n']", update=after_update(change))

    def test_a_memory_of_the_neighbours(self):
        remember = after_remember(
            lambda memory: memory | {"reward": memory["reward"] - jnp.mean(memory["reward"])}
        )
        rule = "what an environment remembers depends on it alone"
        expect(rule, "['reward'] is [", remember=remember)


class TestDevices:
    def test_a_learner_that_is_not_averaged(self):
        def change(learner, memory, metrics, trajectory):
            weights = learner["weights"] + jnp.mean(trajectory.observations["state"])
            return learner | {"weights": weights}, memory, metrics

        rule = "devices hold the same after an update"
        found = "['learner']['weights'] differs from device to device"
        expect(rule, found, update=after_update(change))

    def test_metrics_that_are_not_averaged(self):
        def change(learner, memory, metrics, trajectory):
            return learner, memory, {"loss/mine": jnp.mean(trajectory.observations["state"])}

        rule = "devices hold the same after an update"
        expect(rule, "['metrics']['loss/mine'] differs", update=after_update(change))

    def test_a_sum_where_a_mean_should_be(self):
        def change(learner, memory, metrics, trajectory):
            total = jax.lax.psum(jnp.mean(trajectory.observations["state"]), "device")
            return learner | {"weights": learner["weights"] + total}, memory, metrics

        rule = "learning does not depend on the number of devices"
        expect(rule, "['learner']['weights'] is [", update=after_update(change))
        algorithm = broken(update=after_update(change))
        check_algorithm(algorithm, ksim.CartPole(), MODEL, num_envs=4, tolerance=None)
