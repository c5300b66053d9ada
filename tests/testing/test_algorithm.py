"""The suite of algorithms accepts what keeps the contract, and names the rule that is broken."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import struct
from jax.sharding import PartitionSpec

import ksim
from ksim import Algorithm, Decision, Iteration, Policy
from ksim.testing import check_algorithm
from tests.q_learning_task import QLearningConfig, QLearningTask
from tests.small_cartpole import small_task


@struct.dataclass
class Leaning(Policy):
    """Pushes to the side to which weights of the observations lean."""

    weights: jax.Array
    is_deterministic: jax.Array

    def initial_carry(self):
        return {"num_steps": jnp.float32(0)}

    def act(self, observations, carry, key):
        noise = jnp.where(self.is_deterministic, 0.0, jax.random.normal(key))
        lean = observations["state"] @ self.weights + noise
        carry = {"num_steps": carry["num_steps"] + 1}
        return Decision((lean > 0).astype(jnp.int32), carry, {"lean": lean})

    def review(self, observations, carry, is_valid):
        return {"value": observations["state"] @ self.weights}

    def conclude(self, observations, carry):
        return {"lean": observations["state"] @ self.weights}


class Wandering(Algorithm):
    """Keeps all rules: weights follow the mean of what is seen; the tests below break one each."""

    def init(self, model, key):
        return {"weights": model["weights"] + jax.random.normal(key, (4,)), "count": jnp.int32(0)}

    def policy(self, learner, normalizer, is_deterministic):
        return Leaning(learner["weights"], is_deterministic)

    def iteration(self, num_steps):
        return Iteration(num_steps, 1, num_acting_only=2)

    def initial_memory(self, environment, num_envs):
        return {"reward": jnp.zeros(num_envs), "last": jnp.zeros((num_envs, 4))}

    def remember(self, memory, trajectory, normalizer):
        reward = memory["reward"] + jnp.sum(trajectory.reward, axis=0)
        return {"reward": reward, "last": trajectory.observations["state"][-1]}

    def update(self, learner, memory, trajectory, normalizer, iteration, key):
        seen, reward = jax.lax.pmean(
            (jnp.mean(memory["last"], axis=0), jnp.mean(memory["reward"])), "device"
        )
        weights = learner["weights"] + 0.1 * seen + 0.01 * jax.random.normal(key, (4,))
        learner = {"weights": weights, "count": learner["count"] + 1}
        return learner, memory, {"loss/mine": reward}

    def acting_part(self, learner):
        return learner["weights"]

    def with_acting_part(self, learner, part):
        return learner | {"weights": part}


@pytest.fixture(autouse=True)
def types_are_not_checked_at_run_time(monkeypatch):
    """As in a user's program: the suite has to find what is wrong."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


MODEL = {"weights": jnp.asarray([0.1, 0.2, 0.3, 0.4])}


def broken(**members):
    return type("Broken", (Wandering,), members)()


def expect(rule, details, error=AssertionError, num_envs=4, **members):
    with pytest.raises(error) as caught:
        check_algorithm(broken(**members), ksim.CartPole(), MODEL, num_envs=num_envs, num_steps=6)
    message = str(caught.value)
    for text in (f'Broken breaks the rule "{rule}": ', details, "Instead, "):
        assert text in message


def changed_policy(**members):
    """An algorithm's `policy` with these methods."""
    kind = struct.dataclass(type("BrokenPolicy", (Leaning,), members))

    def policy(self, learner, normalizer, is_deterministic):
        return kind(learner["weights"], is_deterministic)

    return policy


def after_update(change):
    """An `update` whose results go through `change(learner, memory, metrics, trajectory)`."""

    def update(self, learner, memory, trajectory, *others):
        results = Wandering.update(self, learner, memory, trajectory, *others)
        return change(*results, trajectory)

    return update


def after_remember(change):
    """A `remember` whose memory goes through `change(memory)`."""

    def remember(self, *arguments):
        return change(Wandering.remember(self, *arguments))

    return remember


@pytest.mark.parametrize("num_envs", [4, 3])
def test_rules_are_kept(num_envs):
    check_algorithm(Wandering(), ksim.CartPole(), MODEL, num_envs=num_envs, num_steps=6, seed=3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_devices": 4, "partitioner": "shard_map"},
        {"num_devices": 4, "partitioner": "shard_map", "fsdp_devices": 2},
    ],
)
def test_ppo_keeps_the_contract(options):
    task = small_task(fsdp_min_size_mbytes=0.0, **options)
    model = task._get_initial_model(jax.random.key(0))
    partitioner = task.partitioner if options else None
    check_algorithm(task.algorithm, task.environment, model, num_steps=16, partitioner=partitioner)


def test_q_learning_keeps_the_contract():
    task = QLearningTask(QLearningConfig())
    model = task._get_initial_model(jax.random.key(0))
    check_algorithm(task.algorithm, task.environment, model, is_observation_normalized=False)


def test_only_algorithms_are_tried():
    with pytest.raises(TypeError, match=r"found <class .*Wandering'>\. Give an object of a class"):
        check_algorithm(Wandering, ksim.CartPole(), MODEL)


@pytest.mark.parametrize(
    ("result", "found", "error"),
    [
        (lambda: 6, "iteration(6) is 6. Instead, write ksim.Iteration", TypeError),
        (
            lambda: Iteration(0, 1),
            "Instead, give num_steps as a whole number of 1 or more",
            AssertionError,
        ),
        (lambda: Iteration(6, 1.5), "Instead, give num_updates as a whole", AssertionError),
        (lambda: Iteration(6, 1, -1), "Instead, give num_acting_only as a whole", AssertionError),
    ],
)
def test_iterations(result, found, error):
    expect("an iteration is counted", found, error, iteration=lambda self, num_steps: result())


def test_init_that_changes_the_model():
    def init(self, model, key):
        model["weights"] = model["weights"] + 1
        return Wandering.init(self, model, key)

    before = dict(MODEL)
    try:
        expect("init changes no argument", "['weights'] is [", init=init)
    finally:
        MODEL.update(before)


def test_init_of_numpy():
    def init(self, model, key):
        return Wandering.init(self, model, key) | {"luck": jnp.float32(np.random.normal())}

    expect("init is deterministic", "['luck'] is", init=init)


def test_init_that_asks_whether_it_is_compiled():
    def init(self, model, key):
        is_traced = isinstance(key, jax.core.Tracer)
        return Wandering.init(self, model, key) | {"count": jnp.int32(is_traced)}

    expect("init can be compiled", "['count'] is 0, then 1", init=init)


def test_specs_of_another_structure():
    expect(
        "specs has the learner's structure",
        "PyTreeDef({'weights': *}) is not",
        specs=lambda self, learner: {"weights": PartitionSpec()},
    )


def test_specs_that_are_none():
    expect(
        "specs is of PartitionSpecs",
        "it has ['replicated']",
        TypeError,
        specs=lambda self, learner: dict.fromkeys(learner, "replicated"),
    )


def test_specs_that_look_at_numbers():
    def specs(self, learner):
        is_array = isinstance(learner["count"], jax.Array)
        return dict.fromkeys(learner, PartitionSpec("device") if is_array else PartitionSpec())

    expect("specs follows from shapes alone", "arrays have others", specs=specs)


def test_an_acting_part_that_computes():
    rule = "acting_part picks leaves"
    expect(rule, "TypeError", TypeError, acting_part=lambda self, learner: 2 * learner["weights"])


@pytest.mark.parametrize(
    ("with_acting_part", "found"),
    [
        (lambda self, learner, part: learner, "the part comes back as"),
        (lambda self, learner, part: dict.fromkeys(learner, part), "['count'] comes back as"),
        (lambda self, learner, part: {"weights": part}, "PyTreeDef({'weights': *}) is not"),
    ],
)
def test_an_acting_part_that_is_not_put_back(with_acting_part, found):
    rule = "with_acting_part puts back what acting_part takes"
    expect(rule, found, with_acting_part=with_acting_part)


def test_a_memory_of_no_environment():
    expect(
        "a memory begins with the axis of environments",
        "['count'] is [] with num_envs=4",
        initial_memory=lambda self, environment, num_envs: {"count": jnp.int32(0)},
    )


def test_a_memory_of_numpy():
    def initial_memory(self, environment, num_envs):
        return {"reward": jnp.float32(np.random.normal(size=num_envs))}

    expect("initial_memory is deterministic", "['reward'] is", initial_memory=initial_memory)


def test_traffic():
    rule = "traffic is a Traffic, or None"
    expect(rule, "it is 12", TypeError, traffic=lambda self, learner: 12)


def test_num_samples():
    rule = "num_samples is a whole number, or None"
    expect(rule, "it is 0", TypeError, num_samples=lambda self, num_steps: 0)


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
