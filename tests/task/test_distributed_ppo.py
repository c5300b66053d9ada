"""When devices agree, and what a subclass may put in the place of the averaging."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examples.cartpole import CartPoleTask
from tests.small_cartpole import (
    compiled_program,
    iterate,
    numbers,
    read_metrics,
    small_config,
    small_task,
)

NUM_DEVICES = 4
# One rollout program for all periods, and one update program for each.
SETTINGS = {"num_devices": NUM_DEVICES, "rollout_length_frames": 64, "learning_rate": 3e-3}


def rows_differ(train_state):
    """The leaves of a replicated state whose bits differ between devices."""
    return [
        name
        for name, leaf in numbers(train_state).items()
        if any(replica.tobytes() != leaf[0].tobytes() for replica in leaf)
    ]


# Each iteration has 2 minibatches * 2 passes = 4 updates. A period of 4 synchronises on the last
# alone; of 3 on the third and on the last, which always does.
@pytest.mark.parametrize("period", [1, 3, 4])
def test_replicas_are_bit_identical_at_the_end_of_every_iteration(period):
    program = small_task(**SETTINGS, grad_sync_period=period).build()
    drifts = []
    for train_state, metrics in iterate(program, compiled_program(program), num_iterations=10):
        assert all(len(leaf) == NUM_DEVICES for leaf in numbers(train_state).values())
        assert rows_differ(train_state) == []
        assert metrics["device/is_identical"] == 1
        drifts.append(metrics["device/replica_drift"])
    if period == 1:
        assert drifts == [0.0] * 10
    else:
        assert all(0 < drift < 0.1 for drift in drifts)


@pytest.mark.parametrize("period", [1, 3, 4])
def test_cartpole_learns_with_every_period(period, tmp_path):
    small_task(**SETTINGS, grad_sync_period=period, max_steps=40, run_dir=f"{tmp_path}/run").run()
    metrics = read_metrics(tmp_path / "run")
    lengths = [line["episode/length"] for line in metrics if "episode/length" in line]
    # A random policy keeps the pole up for about 22 steps.
    assert np.mean(lengths[:3]) < 30
    assert np.mean(lengths[-5:]) > 60


def parameters_after(task_class, **changes):
    """The parameters before and after one iteration, of the first device, and the metrics."""
    program = task_class(small_config(**({"num_devices": 2} | changes))).build()
    before = numbers(program.initial_train_state(0).learner.model)
    train_state, metrics = next(iterate(program, compiled_program(program), 1))
    after = program.partitioner.unreplicate_state(train_state.learner.model)
    return before, numbers(after), metrics


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


class PmappedMean(CartPoleTask):
    @functools.partial(jax.pmap, axis_name="device")
    def custom_gradient_sync(self, grads):
        return jax.lax.pmean(grads, axis_name="device")


class NoGradients(CartPoleTask):
    def custom_gradient_sync(self, grads):
        return jax.tree.map(jnp.zeros_like, grads)


class NoAgreement(CartPoleTask):
    def custom_gradient_sync(self, grads):
        return grads


def test_custom_gradient_sync_replaces_the_averaging():
    before, default, _ = parameters_after(CartPoleTask)
    assert any(np.any(default[name] != before[name]) for name in before)
    assert_same(parameters_after(PmappedMean)[1], default)
    assert_same(parameters_after(NoGradients)[1], before)


def test_custom_gradient_sync_works_on_the_axis_of_the_options():
    class OwnAxis(CartPoleTask):
        def custom_gradient_sync(self, grads):
            return jax.lax.pmean(grads, axis_name="worker")

    before, after, metrics = parameters_after(OwnAxis, pmap_axis_name="worker")
    assert any(np.any(after[name] != before[name]) for name in before)
    assert metrics["device/is_identical"] == 1


def test_how_far_replicas_came_apart_without_agreement():
    program = NoAgreement(small_config(num_devices=2)).build()
    train_state, metrics = next(iterate(program, compiled_program(program), 1))
    spreads = [np.ptp(leaf, axis=0).max() for leaf in numbers(train_state.learner.model).values()]
    assert metrics["device/is_identical"] == 0
    assert metrics["device/replica_drift"] == pytest.approx(max(spreads))
    assert max(spreads) > 0


def test_a_sync_that_does_not_agree_ends_the_run_and_saves_nothing(tmp_path):
    task = NoAgreement(small_config(num_devices=2, run_dir=f"{tmp_path}/run", max_steps=3))
    with pytest.raises(RuntimeError, match="the devices do not hold the same parameters"):
        task.run()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_custom_gradient_sync_runs_on_one_device_too():
    before, after, _ = parameters_after(PmappedMean, num_devices=1)
    assert any(np.any(after[name] != before[name]) for name in before)
