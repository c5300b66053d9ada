"""Runs whose gradients travel in a smaller type."""

import collections

import numpy as np
import pytest

from ksim.parallel.averaging.compression import BLOCK
from tests.compiled_text import collectives_in
from tests.small_cartpole import compiled_program, iterate, numbers, read_metrics, small_task

FSDP = {"num_devices": 4, "fsdp_devices": 2, "fsdp_min_size_mbytes": 0.0}
# Two networks of 4 inputs, 16 hidden units and 2 outputs or 1: (4 + 1) 16 + (16 + 1) 2 and 17.
NUM_PARAMETERS = 2 * 80 + 34 + 17


def flat(tree):
    return np.concatenate([leaf.ravel() for leaf in numbers(tree).values()])


@pytest.mark.parametrize(
    ("kind", "wire_type", "layout"),
    [
        ("float16", "f16", {"num_devices": 4}),
        ("int8", "s8", {"num_devices": 4}),
        ("int8", "s8", FSDP),
    ],
    ids=["float16", "int8", "int8 and fsdp"],
)
def test_gradients_travel_in_the_type_of_the_options(kind, wire_type, layout):
    program = small_task(grad_compression=kind, **layout).build()
    compiled = compiled_program(program)
    found = collectives_in(compiled.update)
    assert {name for name, dtype, _ in found if dtype == wire_type} == {"all-to-all", "all-gather"}
    # No gradient is averaged in another type, but within groups: there are only metrics, moments
    # of observations and, in groups, what is small.
    averaged = [size for name, dtype, size in found if name == "all-reduce add"]
    assert max(averaged) < NUM_PARAMETERS / 4
    for _, metrics in iterate(program, compiled, 2):
        assert metrics["device/is_identical"] == 1
        assert metrics["device/replica_drift"] == 0


def test_gradients_travel_as_they_are_by_default():
    compiled = compiled_program(small_task(num_devices=4).build())
    found = collectives_in(compiled.update)
    # Averages; and fingerprints, and differences where those differ.
    assert collections.Counter((name, dtype) for name, dtype, _ in found) == {
        # Gradients with the divergence; means of returns, advantages and observations, and of
        # episodes; how those spread; metrics.
        ("all-reduce add", "f32"): 4,
        ("all-reduce maximum", "u32"): 1,
        ("all-reduce maximum", "f32"): 1,
        ("all-reduce minimum", "f32"): 1,
    }
    averaged = sum(size for name, _, size in found if name == "all-reduce add")
    assert NUM_PARAMETERS <= averaged < 1.5 * NUM_PARAMETERS  # gradients once, and metrics


def test_local_sgd_sends_what_is_counted():
    program = small_task(num_devices=4, grad_sync_period=4).build()
    found = collectives_in(compiled_program(program).update)
    # All that is averaged; and a few words that tell whether replicas are the same, and how far
    # they had come from their mean.
    compared = [size for name, _, size in found if name != "all-reduce add"]
    assert {name for name, _, _ in found} == {"all-reduce add", "all-reduce maximum"}
    assert max(compared) <= 2
    averaged = sum(size for name, _, size in found if name == "all-reduce add")
    # Gradients, parameters and Adam's two moments; and metrics.
    assert 4 * NUM_PARAMETERS <= averaged < 4.5 * NUM_PARAMETERS
    # There are 4 updates in an iteration, of which the last synchronises: all of it once.
    traffic = program.algorithm.traffic(program.train_state_shapes.learner)
    assert traffic.bytes_per_update(4) == 2 * 3 / 4 * 4 * (4 * NUM_PARAMETERS) / 4


def test_the_bytes_of_an_update_are_those_of_the_compiled_program():
    """Over a ring an all-to-all and an all-gather of n numbers each send (N - 1) / N n."""
    program = small_task(num_devices=4, grad_compression="int8").build()
    found = collectives_in(compiled_program(program).update)
    # Each stands there twice: for the gradient, and for the remainder after the last one.
    sizes = sorted(size for _, dtype, size in found if dtype == "s8")
    assert sizes == [8 * BLOCK] * 4  # 2 networks with 2 layers of a kernel and a bias
    once = 2 * 3 / 4 * 8 * (BLOCK + 4)
    learner = program.train_state_shapes.learner
    # 4 updates in an iteration, of which the last sends twice.
    assert program.algorithm.traffic(learner).bytes_per_update(4) == once * 5 / 4


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path):
    """Nothing of what compression postpones outlasts an iteration."""
    settings = {"num_devices": 4, "grad_compression": "int8"}
    straight = small_task(run_dir=f"{tmp_path}/straight", max_steps=4, **settings).run()
    small_task(run_dir=f"{tmp_path}/half", max_steps=2, **settings).run()
    resumed = small_task(run_dir=f"{tmp_path}/half", max_steps=4, **settings).run()
    expected = numbers(straight.train_state)
    for name, value in numbers(resumed.train_state).items():
        assert value.tobytes() == expected[name].tobytes(), name
    # On another number of devices it goes on, too.
    settings["num_devices"] = 2
    assert small_task(run_dir=f"{tmp_path}/half", max_steps=5, **settings).run().iteration == 5


@pytest.mark.parametrize(("kind", "tolerance"), [("float16", 1e-3), ("int8", 0.3)])
def test_a_run_goes_the_same_way_with_compression(kind, tolerance):
    """Adam divides gradients by their size, so that those that int8 rounds to zero count too."""
    models = []
    for compression in ("none", kind):
        program = small_task(num_devices=4, grad_compression=compression).build()
        state, _ = next(iterate(program, compiled_program(program), 1))
        whole = program.partitioner.unreplicate_state(state.learner.model)
        models.append(flat(whole) - flat(program.initial_train_state(0).learner.model))
    plain, compressed = models
    assert 0 < np.linalg.norm(compressed - plain) < tolerance * np.linalg.norm(plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"grad_compression": "int8"},
        {"grad_compression": "float16"},
        {"grad_sync_period": 8},
        {"grad_sync_period": 8, "grad_compression": "int8"},
        # 8 times fewer steps, each 8 times as large.
        {"grad_sync_period": 8, "sync_mode": "accumulate", "learning_rate": 4e-3},
    ],
    ids=lambda changes: " ".join(f"{name}={value}" for name, value in changes.items()),
)
def test_the_cartpole_is_still_solved(changes, tmp_path):
    from examples.cartpole import CartPoleConfig, CartPoleTask

    config = CartPoleConfig(num_devices=2, run_dir=f"{tmp_path}/run", **changes)
    result = CartPoleTask(config).run()
    lines = read_metrics(tmp_path / "run")
    assert max(line.get("episode/return", 0) for line in lines) >= 475
    assert result.metrics["eval/episode/return"] >= 475
