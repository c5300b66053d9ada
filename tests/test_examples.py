"""The examples do what they are there for."""

import time

import pytest

from examples.cartpole import CartPoleConfig, CartPoleTask
from tests.small_cartpole import read_metrics


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_the_cartpole_is_solved_within_two_minutes(num_devices, seed, tmp_path):
    began = time.monotonic()
    config = CartPoleConfig(num_devices=num_devices, seed=seed, run_dir=f"{tmp_path}/run")
    result = CartPoleTask(config).run()
    assert time.monotonic() - began < 120
    lines = read_metrics(tmp_path / "run")
    assert max(line.get("episode/return", 0) for line in lines) >= 475
    assert result.metrics["eval/episode/return"] >= 475
