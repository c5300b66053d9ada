"""The example of the snake: its configs, its script, and the commands of its document."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from examples.snake import SnakeConfig, SnakeTask
from ksim.config import parse_command_line
from tests.launch.launching import shell_variables
from tests.small_cartpole import read_metrics

REPOSITORY = Path(__file__).parents[1]
CONFIGS = REPOSITORY / "configs"
SCRIPT = REPOSITORY / "scripts" / "train_ddp.sh"
SMALL = [
    *("grid_size=6", "batch_size=8", "rollout_length_frames=16", "num_passes=1"),
    *("conv_channels=[4]", "conv_strides=[2]", "hidden_sizes=[8]", "matmul_precision=float32"),
    *("eval_length_seconds=1", "save_every_n_steps=null", "eval_every_n_steps=null"),
]


@pytest.mark.parametrize("name", ["snake_small", "snake_base", "snake_large"])
def test_a_config_makes_its_network_for_its_board(name):
    config = parse_command_line(SnakeConfig(), [str(CONFIGS / f"{name}.yaml"), "num_devices=1"])
    task = SnakeTask(config)
    size = {"snake_small": 8, "snake_base": 12, "snake_large": 16}[name]
    assert task.environment.observation_shapes() == {"board": (3, size, size)}
    # An evaluation is as long as the longest game.
    assert config.eval_length_seconds == task.environment.max_steps * task.environment.ctrl_dt
    shapes = jax.eval_shape(lambda: task._get_initial_model(jax.random.key(0)))
    assert shapes.params["actor"]["convolution_0"]["kernel"].shape[-1] == config.conv_channels[0]
    config = parse_command_line(config, ["num_envs=auto", "total_timesteps=100"])  # as the script
    assert config.is_num_envs_auto


def test_every_config_is_known_here():
    assert {path.name for path in CONFIGS.iterdir()} == {
        *("snake_small.yaml", "snake_base.yaml", "snake_large.yaml"),
    }


def test_options_reach_the_game():
    options = ["grid_size=7", "max_episode_steps=9", "food_reward=2", "frame_stack=2"]
    options += ["step_penalty=-0.5", "death_penalty=-3", "distance_reward_scale=0.25"]
    game = SnakeTask(parse_command_line(SnakeConfig(), options)).environment
    assert (game.grid_size, game.max_steps, game.frame_stack) == (7, 9, 2)
    assert (game.food_reward, game.step_penalty, game.death_penalty) == (2.0, -0.5, -3.0)
    assert game.distance_reward_scale == 0.25


def start(folder, *arguments, **variables):
    """Runs the script in a folder; its variables are those of a shell without any set-up."""
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        cwd=folder,
        env=shell_variables(folder / "cache") | {"PYTHON": sys.executable} | variables,
        capture_output=True,
        text=True,
        timeout=600,
    )


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@needs_bash
@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ([], {}, "0 argument(s), and three are needed. Write bash scripts/train_ddp.sh"),
        (["snake_hugh.yaml", "1", "2"], {}, "that come with ksim: configs/snake_base.yaml "),
        (["snake.yaml", "lots", "2"], {}, "total_timesteps lots: write a number of steps"),
        (["snake.yaml", "100", "-1"], {}, "seed -1: write a number from 0 on"),
        (
            ["snake.yaml", "100", "1"],
            {"PROCESSES": "5000"},
            f"this machine has {os.cpu_count()} core(s), and a process takes one. Write PROCESSES=",
        ),
        (["snake.yaml", "100", "1"], {"NUM_DEVICES": "all"}, "NUM_DEVICES=all: write a number"),
    ],
)
def test_the_script_refuses_what_cannot_be(tmp_path, arguments, variables, message):
    (tmp_path / "snake.yaml").write_text("grid_size: 6\n")
    ended = start(tmp_path, *arguments, **variables)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert not (tmp_path / "runs").exists()


@needs_bash
def test_the_script_asks_for_all_that_the_machine_has(tmp_path):
    """A python that says what it was asked for, in place of the real one."""
    (tmp_path / "snake.yaml").write_text("grid_size: 6\n")
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\necho "$@"\n')
    python.chmod(0o755)
    variables = {"PYTHON": str(python), "JAX_PLATFORMS": "cpu"}
    shown = start(tmp_path, "snake.yaml", "100", "7", "gamma=0.9", **variables).stdout
    command, ending = shown.splitlines()
    for text in ("-m examples.snake snake.yaml total_timesteps=100 seed=7", "num_devices="):
        assert text in command
    assert command.endswith(" gamma=0.9") and "num_envs=auto" in command
    assert "matmul_precision=auto" in command and "has_metrics_csv=true" in command
    run_dir = command.split("run_dir=")[1].split()[0]
    assert ending.startswith(f"The run is in {run_dir}.")
    more = ["run_dir=here", "num_envs=8"]
    shown = start(tmp_path, "snake.yaml", "100", "7", *more, **variables).stdout
    assert "The run is in here." in shown
    assert "num_envs=auto" not in shown and shown.count("run_dir=") == 1
    variables |= {"PROCESSES": "1", "NUM_DEVICES": "3"}
    assert "num_devices=3" in start(tmp_path, "snake.yaml", "100", "7", **variables).stdout


def curve(run):
    times = ("time/", "throughput/", "communication/", "device/", "wall_seconds")
    return [
        {name: value for name, value in line.items() if not name.startswith(times)}
        for line in read_metrics(run)
    ]


@needs_bash
@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_the_script_makes_one_directory_and_the_same_curve_everywhere(tmp_path):
    """On 1, 2 and 4 devices, and in 2 processes: 4 iterations of 16 environments and 16 steps."""
    places = {
        "one": {"NUM_DEVICES": "1"},
        "two": {"NUM_DEVICES": "2"},
        "four": {"NUM_DEVICES": "4"},
        "processes": {"PROCESSES": "2", "NUM_DEVICES": "1"},
    }
    config, curves = str(CONFIGS / "snake_small.yaml"), {}
    small = ["num_envs=16", *SMALL]
    for name, variables in places.items():
        run_dir = f"runs/{name}"
        ended = start(tmp_path, config, "1024", "42", f"run_dir={run_dir}", *small, **variables)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1].startswith(f"The run is in {run_dir}.")
        curves[name] = curve(tmp_path / run_dir)
        with (tmp_path / run_dir / "metrics.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == 4
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(places)
    assert len(curves["one"]) == 4
    for found in curves.values():
        for line, expected in zip(found, curves["one"], strict=True):
            assert line == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run_name", "options"),
    [
        ("smoke_single_gpu", ["total_timesteps=1024", "num_envs=8", "num_devices=1"]),
        ("smoke_multi_gpu", ["total_timesteps=2048", "num_envs=16", "num_devices=4"]),
    ],
)
def test_the_smoke_tests_of_the_document(run_name, options, tmp_path):
    """`--config --device --total-timesteps --n-envs --run-name`, as they are written here."""
    config = str(CONFIGS / "snake_small.yaml")
    command = [sys.executable, "-m", "examples.snake", config, *SMALL, *options]
    subprocess.run(
        [*command, f"run_dir=runs/{run_name}"],
        cwd=tmp_path,
        env=shell_variables(tmp_path / "cache"),
        check=True,
        timeout=300,
    )
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run_name]
    lines = read_metrics(tmp_path / "runs" / run_name)
    assert all(line["time/global_fps"] > 0 for line in lines)
    checkpoints = list((tmp_path / "runs" / run_name / "checkpoints").glob("step_*"))
    assert len(checkpoints) == 1
    leaves = json.loads((checkpoints[0] / "metadata.json").read_text())["leaves"]
    assert not any("module." in name for name in leaves)
