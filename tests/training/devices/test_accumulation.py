"""`sync_mode=accumulate`: gradients are summed between synchronisations, and nobody moves."""

import numpy as np
import optax
import pytest

from examples.cartpole import CartPoleTask
from tests.small_cartpole import compiled_program, iterate, numbers, small_config

TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


class GradientDescentTask(CartPoleTask):
    """Its steps are as large as its gradients, unlike Adam's."""

    def get_optimizer(self):
        return optax.sgd(self.config.learning_rate)


def after_iterations(num_iterations=3, task_class=CartPoleTask, **changes):
    """The learner and the metrics of each iteration."""
    program = task_class(small_config(**changes)).build()
    states = list(iterate(program, compiled_program(program), num_iterations))
    learner = program.partitioner.unreplicate_state(states[-1][0].learner)
    return numbers(learner), [metrics for _, metrics in states]


def test_a_pass_of_accumulated_minibatches_is_one_large_minibatch():
    """The mean of the gradients of all minibatches of a pass is the gradient of the whole."""
    changes = {"num_devices": 2, "num_passes": 1, "task_class": GradientDescentTask}
    large, _ = after_iterations(**changes, batch_size=16)
    accumulated, _ = after_iterations(
        **changes, batch_size=8, grad_sync_period=2, sync_mode="accumulate"
    )
    for name, value in large.items():
        np.testing.assert_allclose(accumulated[name], value, **TOLERANCE, err_msg=name)


def test_every_synchronisation_is_one_step():
    """4 updates in an iteration with a period of 3: steps after the third and after the last."""
    accumulated, _ = after_iterations(
        num_devices=2, grad_sync_period=3, sync_mode="accumulate", num_iterations=3
    )
    (count,) = {int(value) for name, value in accumulated.items() if name.endswith(".count")}
    assert count == 3 * 2


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param({"num_devices": 4}, marks=pytest.mark.slow),
        {"num_devices": 4, "fsdp_devices": 2, "fsdp_min_size_mbytes": 0.0},
    ],
    ids=["Pmap4", "ShardMap4 of 2"],
)
def test_the_device_count_does_not_change_the_result(layout):
    """Unlike local SGD."""
    changes = {"grad_sync_period": 3, "sync_mode": "accumulate"}
    expected, _ = after_iterations(num_devices=1, **changes)
    found, metrics = after_iterations(**layout, **changes)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, **TOLERANCE, err_msg=name)
    for iteration in metrics:
        assert iteration["device/replica_drift"] == 0
        assert iteration["device/is_identical"] == 1


def test_with_a_period_of_one_there_is_nothing_to_accumulate():
    expected, _ = after_iterations(num_devices=2)
    found, _ = after_iterations(num_devices=2, sync_mode="accumulate")
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
