"""The examples do what they are there for."""

import dataclasses
import json
import time
import types

import pytest

import ksim
from examples import functional_cartpole, walk
from examples.cartpole import CartPoleConfig, CartPoleTask
from examples.walk import ON_ONE_DEVICE, ExamTask, WalkConfig, WalkTask
from ksim.task import DistributedPPOTask
from ksim.vibe_rl.algorithms.ppo import PPOConfig
from ksim.vibe_rl.runner import RunnerConfig
from tests.launch.launching import output_of, shell_variables, start_launcher
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


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_the_cartpole_ends_when_it_is_solved(num_devices, seed, tmp_path):
    config = CartPoleConfig(
        num_devices=num_devices, seed=seed, run_dir=f"{tmp_path}/run", stop_at_return=475.0
    )
    result = CartPoleTask(config).run()
    assert result.iteration < 300
    assert result.metrics["episode/return"] >= 475
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


def test_a_walk_on_devices_that_share_parameters_is_examined_on_one(tmp_path):
    config = WalkConfig(num_devices=2, num_envs=4, batch_size=2, fsdp_devices=2)
    exam = dataclasses.replace(config, **ON_ONE_DEVICE)
    task = ExamTask(exam)
    task.settle()
    assert isinstance(task.partitioner, ksim.SingleDevice)


@pytest.mark.slow
def test_a_walk_in_two_processes_is_examined_and_written_once(tmp_path):
    options = "num_envs=2 batch_size=2 hidden_sizes=[8] rollout_length_frames=4 max_steps=1"
    options += " eval_length_seconds=0.1 exam_episodes=3 exam_seconds=0.2 video_seconds=0.1"
    options += f" run_dir={tmp_path}/run num_devices=1"
    with start_launcher(
        shell_variables(tmp_path / "cache") | {"MUJOCO_GL": "disable"},
        tmp_path,
        module="examples.walk",
        task_arguments=options.split(),
    ) as launcher:
        assert launcher.wait(timeout=500) == 0
    output = output_of(tmp_path)
    for text in ('"passed"', "The curves are", "No film: The film could not be made"):
        lines = [line for line in output.splitlines() if text in line]
        assert lines and all(line.startswith("[0] ") for line in lines)
    assert json.loads((tmp_path / "run" / "walk.json").read_text())["episodes"] == 3


def test_only_the_main_process_writes_of_a_walk(tmp_path, monkeypatch, capsys):
    """The others examine and load what is filmed with it, since all meet there, and are silent."""
    calls = []
    result = object.__new__(ksim.RunResult)
    object.__setattr__(result, "path", tmp_path)
    monkeypatch.setattr(DistributedPPOTask, "run", lambda self: result)
    monkeypatch.setattr(walk, "examine", lambda *_: calls.append("examine") or {"passed": 1})
    monkeypatch.setattr(walk, "film", lambda *_, **__: calls.append("film"))
    monkeypatch.setattr(WalkTask, "processes", types.SimpleNamespace(is_main=False, count=2))
    assert WalkTask(WalkConfig()).run() == {"passed": 1}
    assert calls == ["examine", "film", "film"]
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr().out == ""


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
