"""The examples do what they are there for."""

import dataclasses
import json
import time

import pytest

from examples import functional_cartpole
from examples.cartpole import CartPoleConfig, CartPoleTask
from examples.walk import WalkConfig, WalkTask
from ksim.algorithms.ppo import PPOConfig
from ksim.runner import RunnerConfig
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


def test_the_walk_is_trained_examined_and_filmed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MUJOCO_GL", "broken")  # a machine that cannot draw loses the film only
    config = WalkConfig(
        num_devices=1,
        num_envs=2,
        batch_size=2,
        hidden_sizes=(8,),
        rollout_length_frames=4,
        max_steps=1,
        eval_length_seconds=0.1,
        exam_episodes=3,
        exam_seconds=0.2,
        video_seconds=0.1,
        run_dir=f"{tmp_path}/run",
    )
    report = WalkTask(config).run()
    assert json.loads((tmp_path / "run" / "walk.json").read_text()) == report
    assert report["episodes"] == 3 and report["commanded_velocity"] == 1
    # Who has hardly learned stands in 0.2 s: nobody falls, and nobody walks.
    assert (report["fallen"], report["passed"]) == (0, 0)
    assert abs(report["mean_velocity"]) < 0.5
    assert (tmp_path / "run" / "curves.png").exists()
    assert "No film: The film could not be made" in capsys.readouterr().err


def test_the_functional_cartpole_runs_from_top_to_bottom(capsys):
    trained, tried = functional_cartpole.main(
        PPOConfig(n_steps=16, hidden_sizes=(16,)),
        RunnerConfig(total_timesteps=1024, num_envs=8, num_devices=1),
    )
    # However bad it is, the pole needs some steps to fall.
    assert trained >= 8 and 8 <= tried <= 500
    assert "of 64 trial episodes" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_the_functional_cartpole_is_solved(seed):
    runner_config = dataclasses.replace(functional_cartpole.RUNNER_CONFIG, seed=seed)
    trained, tried = functional_cartpole.main(runner_config=runner_config)
    assert trained >= 475
    assert tried >= 475
