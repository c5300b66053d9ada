"""The length of a run in steps of all environments."""

import pytest

from examples.cartpole import CartPoleConfig
from ksim import ConfigError
from ksim.task.automatic import settle_total_timesteps
from tests.small_cartpole import read_metrics, small_config, small_task

# 16 environments of 16 steps: 256 steps in an iteration.


def test_steps_become_whole_iterations_rounded_down():
    config, note = settle_total_timesteps(small_config(total_timesteps=1000), 16)
    assert (config.max_steps, config.total_timesteps) == (3, None)  # 3 * 256 = 768
    assert note == (
        "follows from total_timesteps=1000, in iterations of 16 environments * 16 steps = 256,"
        " rounded down: 768 steps."
    )


def test_less_than_an_iteration_is_an_error_before_anything_runs(tmp_path):
    task = small_task(total_timesteps=255, num_devices=1, run_dir=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"less than one iteration: .* = 256\. Write total_time"):
        task.run()
    assert not (tmp_path / "run").exists()


def test_a_run_ends_after_that_many_steps_and_says_how(tmp_path, capsys):
    task = small_task(total_timesteps=600, num_devices=1, run_dir=str(tmp_path / "run"))
    assert task.run().iteration == 2
    assert read_metrics(tmp_path / "run")[-1]["env_steps"] == 512
    assert "max_steps=2: follows from total_timesteps=600" in capsys.readouterr().out
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "max_steps: 2" in config and "total_timesteps: null" in config


def test_weak_scaling_counts_the_environments_of_all_devices():
    task = small_task(total_timesteps=1024, num_devices=2, scaling="weak")
    task.build()
    assert task.config.max_steps == 2  # 2 * 16 * 16 = 512 steps in an iteration


def test_schedules_that_need_an_end_take_it_from_the_steps():
    config = small_config(
        total_timesteps=1000, max_steps=None, learning_rate_schedule="linear", num_devices=1
    )
    config.validate()
    task = small_task(total_timesteps=1000, learning_rate_schedule="linear", num_devices=1)
    task.build()
    assert task.algorithm.learning_rate.num_iterations == 3


def test_both_lengths_are_an_error_that_names_both():
    with pytest.raises(ConfigError, match=r"total_timesteps=9 and max_steps=5 both say"):
        small_config(total_timesteps=9, max_steps=5).validate()
    CartPoleConfig(total_timesteps=9999).validate()  # its own max_steps is a default
