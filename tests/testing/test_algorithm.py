"""The suite of algorithms accepts what keeps the contract, and names the rule that is broken."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import ksim
from ksim import Iteration
from ksim.testing import check_algorithm
from tests.q_learning_task import QLearningConfig, QLearningTask
from tests.small_algorithm import MODEL, Wandering, expect
from tests.small_cartpole import small_task


@pytest.fixture(autouse=True)
def types_are_not_checked_at_run_time(monkeypatch):
    """As in a user's program: the suite has to find what is wrong."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize("num_envs", [4, 3])
def test_rules_are_kept(num_envs):
    check_algorithm(Wandering(), ksim.CartPole(), MODEL, num_envs=num_envs, num_steps=6, seed=3)


@pytest.mark.parametrize(
    "options",
    [
        {"network": "gru"},
        {"num_devices": 4, "partitioner": "shard_map"},
        {"num_devices": 4, "partitioner": "shard_map", "fsdp_devices": 2},
    ],
)
def test_ppo_keeps_the_contract(options):
    task = small_task(fsdp_min_size_mbytes=0.0, **options)
    model = task._get_initial_model(jax.random.key(0))
    partitioner = task.partitioner if "num_devices" in options else None
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


def test_a_memory_that_asks_whether_it_is_compiled():
    def initial_memory(self, environment, num_envs):
        is_traced = isinstance(jnp.zeros(()), jax.core.Tracer)
        return {"reward": jnp.full(num_envs, float(is_traced))}

    rule = "initial_memory can be compiled"
    expect(rule, "['reward'] is [0.", initial_memory=initial_memory)


def test_traffic():
    rule = "traffic is a Traffic, or None"
    expect(rule, "it is 12", TypeError, traffic=lambda self, learner: 12)


def test_num_samples():
    rule = "num_samples is a whole number, or None"
    expect(rule, "it is 0", TypeError, num_samples=lambda self, num_steps: 0)
