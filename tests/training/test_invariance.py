"""The device count changes the speed of a run, and not its result."""

import jax
import numpy as np
import pytest

from tests.small_cartpole import numbers, read_metrics, small_task, without_times
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

DEVICE_COUNTS = (1, 2, 4, 8)
NUM_ITERATIONS = 10

# Beside 1e-4 relative: some numbers (the loss of normalised advantages, the KL) are sums of terms
# of size 1 that nearly cancel, so that nothing but the rounding of float32 is left of them.
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


def train_cartpole(num_devices, run_dir):
    return small_task(
        num_devices=num_devices, run_dir=run_dir, max_steps=NUM_ITERATIONS, learning_rate=1e-3
    ).run()


def train_native(num_devices, run_dir, engine="mujoco"):
    config = SmallMujocoConfig(
        num_devices=num_devices, run_dir=run_dir, max_steps=NUM_ITERATIONS, engine=engine
    )
    return SmallMujocoTask(config).run()


def train_mjx(num_devices, run_dir):
    has_optimizations = not jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)  # half the time to compile
    try:
        with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
            return train_native(num_devices, run_dir, engine="mjx")
    finally:
        jax.config.update("jax_disable_most_optimizations", not has_optimizations)


@pytest.fixture(scope="module", params=[train_cartpole, train_native, train_mjx])
def runs(request, tmp_path_factory):
    """The same run on 1, 2, 4 and 8 devices."""
    root = tmp_path_factory.mktemp("runs")
    return {count: request.param(count, f"{root}/{count}") for count in DEVICE_COUNTS}


def test_every_metric_of_every_iteration_agrees(runs):
    expected = read_metrics(runs[1].path)
    assert len(expected) == NUM_ITERATIONS
    assert any("episode/return" in metrics for metrics in expected)
    assert "eval/episode/return" in expected[-1]
    for count in DEVICE_COUNTS[1:]:
        for one, several in zip(expected, read_metrics(runs[count].path), strict=True):
            one, several = without_times(one), without_times(several)
            own = {f"device/{i}/reward" for i in range(count)}
            assert several.keys() == one.keys() | own
            for name, value in one.items():
                np.testing.assert_allclose(several[name], value, **TOLERANCE, err_msg=name)


def test_parameters_and_optimizer_agree(runs):
    expected = numbers(runs[1].train_state)
    for count in DEVICE_COUNTS[1:]:
        found = numbers(runs[count].train_state)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, **TOLERANCE, err_msg=name)


def test_parameters_moved(runs):
    """Nothing agrees merely because nothing happened."""
    first, last = (read_metrics(runs[1].path)[i] for i in (0, -1))
    assert first["policy/gradient_norm"] > 0
    assert abs(last["value/mean"] - first["value/mean"]) > 1e-2


def test_a_reward_of_each_device_is_logged(runs):
    """Environments are dealt evenly, so the mean of the devices' means weighs them nearly alike."""
    metrics = runs[4].metrics
    rewards = [metrics[f"device/{i}/reward"] for i in range(4)]
    np.testing.assert_allclose(np.mean(rewards), metrics["reward/total"], rtol=1e-2)
    assert "device/0/reward" not in runs[1].metrics
