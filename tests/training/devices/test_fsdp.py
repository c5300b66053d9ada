"""Runs whose large parameters are split over devices, and runs that move between layouts."""

import types
from collections import Counter

import jax
import numpy as np
import optax
import pytest

import ksim
from examples.cartpole import CartPoleTask
from ksim.config import ConfigError
from ksim.storage.checkpoint import open_checkpoint, save_checkpoint
from tests.compiled_text import collectives_in
from tests.small_cartpole import (
    compiled_program,
    initial_states,
    iterate,
    numbers,
    read_metrics,
    small_config,
    small_task,
    without_times,
)

# Two networks, actor and critic, of which each has a kernel [4, 16] and one [16, 2] or [16, 1].
NUM_KERNELS = 4
FSDP = {"num_devices": 4, "fsdp_devices": 2, "fsdp_min_size_mbytes": 0.0}
LAYOUTS = {
    "SingleDevice": {"num_devices": 1},
    "Pmap4": {"num_devices": 4},
    "ShardMap2": {"num_devices": 2, "partitioner": "shard_map"},
    "ShardMap4 of 2": FSDP,
    "ShardMap8 of 4": FSDP | {"num_devices": 8, "fsdp_devices": 4},
}
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


@pytest.fixture(scope="module")
def program():
    return small_task(**FSDP).build()


@pytest.fixture(scope="module")
def compiled(program):
    return compiled_program(program)


def names_of(executable):
    """How often each collective stands in a compiled program."""
    return Counter(collective.name.split()[0] for collective in collectives_in(executable))


def bytes_on(device, tree):
    """Bytes of each leaf on one device, by the leaf's path."""
    return {
        jax.tree_util.keystr(path): sum(
            shard.data.nbytes for shard in leaf.addressable_shards if shard.device == device
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def test_a_device_holds_half_of_large_parameters_and_of_their_optimizer_state(program, compiled):
    whole = program.initial_train_state(0).learner
    size = {jax.tree_util.keystr(path): (leaf.nbytes, leaf.ndim)
            for path, leaf in jax.tree_util.tree_leaves_with_path(whole)}  # fmt: skip
    start, _ = initial_states(program)
    after, _ = next(iterate(program, compiled, 1))
    for state in (start, after):
        for device in program.partitioner.devices:
            found = bytes_on(device, state.learner)
            assert found == {
                name: nbytes // 2 if ndim == 2 else nbytes for name, (nbytes, ndim) in size.items()
            }
    assert sum(ndim == 2 for _, ndim in size.values()) == 3 * NUM_KERNELS  # with Adam's moments


def test_small_parameters_stay_whole():
    program = small_task(num_devices=2, fsdp_devices=2).build()
    state, _ = initial_states(program)
    assert all(leaf.is_fully_replicated for leaf in jax.tree.leaves(state))
    assert program.partitioned().gather is None


def test_what_the_programs_communicate(compiled):
    assert names_of(compiled.rollout.rollout) == {}
    assert names_of(compiled.rollout.gather) == {"all-gather": NUM_KERNELS}
    found = names_of(compiled.update)
    assert found.keys() == {"all-gather", "reduce-scatter", "all-reduce"}
    assert found["all-gather"] == NUM_KERNELS
    assert found["reduce-scatter"] == NUM_KERNELS


def test_without_shards_the_update_only_averages():
    compiled = compiled_program(small_task(num_devices=2, partitioner="shard_map").build())
    assert names_of(compiled.rollout) == {}
    assert names_of(compiled.update).keys() == {"all-reduce"}


@pytest.mark.parametrize("start", LAYOUTS)
def test_a_checkpoint_moves_to_any_layout(start, tmp_path):
    program = small_task(**LAYOUTS[start]).build()
    partitioner = program.partitioner
    train_state, environments = initial_states(program, seed=5)
    whole = {
        "train": partitioner.unreplicate_state(train_state),
        "environments": partitioner.gather_environments(environments),
    }
    path = save_checkpoint(tmp_path, 1, whole, {})
    for layout in LAYOUTS.values():
        other = small_task(**layout).build()
        restored = open_checkpoint(path).restore(whole)
        placed = other.place_train_state(restored["train"])
        found = numbers(other.partitioner.unreplicate_state(placed))
        for name, value in numbers(whole["train"]).items():
            assert found[name].tobytes() == value.tobytes(), name


def test_a_run_moves_from_layout_to_layout(tmp_path):
    settings = {"save_every_n_steps": 1}
    straight = small_task(run_dir=f"{tmp_path}/straight", max_steps=4, num_devices=1,
                          **settings).run()  # fmt: skip
    for max_steps, layout in enumerate(
        ("ShardMap4 of 2", "Pmap4", "ShardMap8 of 4", "SingleDevice"), start=1
    ):
        task = small_task(run_dir=f"{tmp_path}/moving", max_steps=max_steps,
                          **LAYOUTS[layout], **settings)  # fmt: skip
        moving = task.run()
    expected = numbers(straight.train_state)
    for name, value in numbers(moving.train_state).items():
        np.testing.assert_allclose(value, expected[name], **TOLERANCE, err_msg=name)
    lines = read_metrics(tmp_path / "moving"), read_metrics(straight.path)
    for found, line in zip(*lines, strict=True):
        for name, value in without_times(line).items():
            if not name.startswith("eval/"):  # the moving run has evaluated at its every end
                np.testing.assert_allclose(found[name], value, **TOLERANCE, err_msg=name)


def test_groups_drift_and_agree_again():
    program = small_task(**FSDP, grad_sync_period=3).build()
    for _, metrics in iterate(program, compiled_program(program), 2):
        assert 0 < metrics["device/replica_drift"] < 0.1
        assert metrics["device/is_identical"] == 1


def test_a_synchronisation_of_ones_own_is_given_the_mean_of_a_group():
    class Mean(CartPoleTask):
        def custom_gradient_sync(self, grads):
            return jax.lax.pmean(grads, self.config.pmap_axis_name)

    states = []
    for task_class in (CartPoleTask, Mean):
        program = task_class(small_config(**FSDP)).build()
        state, metrics = next(iterate(program, compiled_program(program), 1))
        assert metrics["device/is_identical"] == 1
        states.append(numbers(program.partitioner.unreplicate_state(state)))
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, err_msg=name)


def test_an_optimizer_that_would_be_wrong_on_shards_is_refused():
    class Task(CartPoleTask):
        def get_optimizer(self):
            return optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3))

    Task(small_config(num_devices=4)).build()
    with pytest.raises(ConfigError, match=r"get_optimizer: .* ksim\.clip_by_global_norm"):
        Task(small_config(**FSDP)).build()


def test_the_partitioner_of_the_options():
    kinds = {
        ("auto", 1): ksim.Pmap,
        ("pmap", 1): ksim.Pmap,
        ("shard_map", 1): ksim.ShardMap,
        ("auto", 2): ksim.ShardMap,
        ("shard_map", 2): ksim.ShardMap,
    }
    for (partitioner, fsdp_devices), kind in kinds.items():
        task = small_task(num_devices=4, partitioner=partitioner, fsdp_devices=fsdp_devices)
        assert type(task.partitioner) is kind
        assert task.partitioner.group_size == fsdp_devices


def test_pmap_in_several_processes_is_refused(monkeypatch):
    monkeypatch.setattr(CartPoleTask, "processes", types.SimpleNamespace(count=2))
    with pytest.raises(ConfigError, match=r"there are 2\. Write partitioner=shard_map"):
        _ = small_task(num_devices=2, partitioner="pmap").partitioner
    assert isinstance(small_task(num_devices=2).partitioner, ksim.ShardMap)
