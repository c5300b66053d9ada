"""How a run is spread over devices changes its speed, and not its result."""

import jax
import numpy as np
import pytest

from tests.small_cartpole import numbers, read_metrics, small_task, without_times
from tests.small_mujoco_task import SmallMujocoConfig, SmallMujocoTask

# Every parameter of these small networks that has two axes is split.
FSDP = {"partitioner": "shard_map", "fsdp_min_size_mbytes": 0.0}
LAYOUTS = {
    "SingleDevice": {"num_devices": 1},
    "Pmap2": {"num_devices": 2},
    "Pmap4": {"num_devices": 4},
    "Pmap8": {"num_devices": 8},
    "ShardMap2": FSDP | {"num_devices": 2},
    "ShardMap2 of 2": FSDP | {"num_devices": 2, "fsdp_devices": 2},
    "ShardMap4": FSDP | {"num_devices": 4},
    "ShardMap4 of 2": FSDP | {"num_devices": 4, "fsdp_devices": 2},
    "ShardMap4 of 4": FSDP | {"num_devices": 4, "fsdp_devices": 4},
    "ShardMap8": FSDP | {"num_devices": 8},
    "ShardMap8 of 2": FSDP | {"num_devices": 8, "fsdp_devices": 2},
    "ShardMap8 of 4": FSDP | {"num_devices": 8, "fsdp_devices": 4},
}
FEW = ("SingleDevice", "Pmap2", "Pmap4", "Pmap8", "ShardMap2", "ShardMap8 of 4")
FEWER = ("SingleDevice", "Pmap2", "Pmap8", "ShardMap4 of 2")
FEWEST = ("SingleDevice", "Pmap8", "ShardMap4 of 2")  # each takes ten seconds to compile
NUM_ITERATIONS = 10

# Beside 1e-4 relative: some numbers (the loss of normalised advantages, the KL) are sums of terms
# of size 1 that nearly cancel, so that nothing but the rounding of float32 is left of them.
TOLERANCE = {"rtol": 1e-4, "atol": 2e-6}


def train_cartpole(**changes):
    return small_task(max_steps=NUM_ITERATIONS, learning_rate=1e-3, **changes).run()


def train_native(engine="mujoco", **changes):
    config = SmallMujocoConfig(max_steps=NUM_ITERATIONS, engine=engine, **changes)
    return SmallMujocoTask(config).run()


def train_mjx(**changes):
    has_optimizations = not jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)  # half the time to compile
    try:
        with jax.numpy_rank_promotion("allow"):  # MJX broadcasts
            return train_native(engine="mjx", **changes)
    finally:
        jax.config.update("jax_disable_most_optimizations", not has_optimizations)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((train_cartpole, FEW), id="cartpole"),
        pytest.param((train_native, FEWER), id="native"),
        pytest.param((train_mjx, FEWEST), id="mjx"),
        *(
            pytest.param((train, tuple(LAYOUTS)), id=f"{name}-everywhere", marks=pytest.mark.slow)
            for name, train in (
                ("cartpole", train_cartpole),
                ("native", train_native),
                ("mjx", train_mjx),
            )
        ),
    ],
)
def runs(request, tmp_path_factory):
    """The same run, spread over devices in several ways."""
    train, names = request.param
    root = tmp_path_factory.mktemp("runs")
    return {name: train(run_dir=f"{root}/{name}", **LAYOUTS[name]) for name in names}


def test_every_metric_of_every_iteration_agrees(runs):
    expected = read_metrics(runs["SingleDevice"].path)
    assert len(expected) == NUM_ITERATIONS
    assert any("episode/return" in metrics for metrics in expected)
    assert "eval/episode/return" in expected[-1]
    for layout in list(runs)[1:]:
        for one, several in zip(expected, read_metrics(runs[layout].path), strict=True):
            one, several = without_times(one), without_times(several)
            own = {f"device/{i}/reward" for i in range(LAYOUTS[layout]["num_devices"])}
            assert several.keys() == one.keys() | own
            for name, value in one.items():
                found = several[name]
                np.testing.assert_allclose(found, value, **TOLERANCE, err_msg=f"{layout} {name}")


def test_parameters_and_optimizer_agree(runs):
    expected = numbers(runs["SingleDevice"].train_state)
    for layout in list(runs)[1:]:
        found = numbers(runs[layout].train_state)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, **TOLERANCE, err_msg=f"{layout} {name}")


def test_parameters_moved(runs):
    """Nothing agrees merely because nothing happened."""
    first, last = (read_metrics(runs["SingleDevice"].path)[i] for i in (0, -1))
    assert first["policy/gradient_norm"] > 0
    assert abs(last["value/mean"] - first["value/mean"]) > 1e-2


def test_a_reward_of_each_device_is_logged(runs):
    """Environments are dealt evenly, so the mean of the devices' means weighs them nearly alike."""
    metrics = runs["Pmap8"].metrics
    rewards = [metrics[f"device/{i}/reward"] for i in range(8)]
    np.testing.assert_allclose(np.mean(rewards), metrics["reward/total"], rtol=1e-2)
    assert "device/0/reward" not in runs["SingleDevice"].metrics
