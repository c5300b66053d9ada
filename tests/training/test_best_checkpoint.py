"""The checkpoint that was evaluated best is kept, and found by name."""

import numpy as np
import pytest

from ksim.config import ConfigError
from ksim.storage.checkpoint import save_checkpoint
from ksim.storage.checkpoint_folder import (
    best_checkpoint,
    find_checkpoint,
    list_checkpoints,
    prune_checkpoints,
)
from tests.small_cartpole import small_task


def save(directory, **returns):
    """Saves `step_1=5.0` as a checkpoint that was evaluated so; `None` as one that was not."""
    for name, value in returns.items():
        metadata = {} if value is None else {"evaluation_return": value}
        save_checkpoint(directory, int(name.removeprefix("step_")), np.zeros(1), metadata)


def steps(directory):
    return [int(path.name.removeprefix("step_")) for path in list_checkpoints(directory)]


def test_the_best_outlasts_newer_ones(tmp_path):
    save(tmp_path, step_1=-5.0, step_2=-1.0, step_3=-7.0, step_4=None, step_5=None)
    removed = prune_checkpoints(tmp_path, keep=2)
    assert [path.name for path in removed] == ["step_00000001", "step_00000003"]
    assert steps(tmp_path) == [2, 4, 5]
    # Another one that is as good is newer.
    save(tmp_path, step_6=-1.0)
    prune_checkpoints(tmp_path, keep=2)
    assert steps(tmp_path) == [5, 6]


def test_a_damaged_one_is_not_the_best(tmp_path, caplog):
    save(tmp_path, step_1=3.0, step_2=9.0, step_3=5.0)
    (tmp_path / "step_00000002" / "metadata.json").write_text("{}")
    assert best_checkpoint(tmp_path).path == tmp_path / "step_00000003"
    next((tmp_path / "step_00000003" / "arrays").iterdir()).unlink()
    assert best_checkpoint(tmp_path).path == tmp_path / "step_00000001"
    assert "Skipping it" in caplog.text


def test_it_is_found_by_name(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    save(folder, step_1=5.0, step_2=4.0)
    best = folder / "step_00000001"
    assert find_checkpoint(tmp_path / "run" / "best").path == best
    assert find_checkpoint(folder / "best").path == best
    assert find_checkpoint(tmp_path / "run").path == folder / "step_00000002"


def test_a_run_of_that_name_is_itself(tmp_path):
    folder = tmp_path / "best" / "checkpoints"
    save(folder, step_1=5.0, step_2=4.0)
    assert find_checkpoint(tmp_path / "best").path == folder / "step_00000002"


def test_none_was_evaluated(tmp_path):
    save(tmp_path / "checkpoints", step_1=None)
    with pytest.raises(ConfigError, match=r"No evaluated checkpoint at .*best"):
        find_checkpoint(tmp_path / "best")


def test_a_run_saves_and_keeps_its_best(returns, tmp_path, capsys):
    run_dir = tmp_path / "run"

    def train(max_steps):
        small_task(
            num_devices=1,
            max_steps=max_steps,
            run_dir=f"{run_dir}",
            eval_every_n_steps=1,
            save_every_n_steps=None,
            keep_checkpoints=1,
        ).run()
        return steps(run_dir / "checkpoints"), capsys.readouterr().out

    returns += [1.0, 5.0, 3.0, 2.0]
    kept, output = train(max_steps=4)
    assert kept == [2, 4]
    best = f"the best evaluation returned 5.00: load_from_ckpt_path={run_dir}/best"
    assert f"evaluation return 2.00 ({best})" in output

    # A run that goes on knows what it had: 4 is saved as the last one, not as the best.
    returns += [4.0, 4.5]
    assert train(max_steps=6)[0] == [2, 6]
    returns += [6.0, 5.5]
    assert train(max_steps=8)[0] == [7, 8]
    returns += [7.0]
    kept, output = train(max_steps=9)
    assert kept == [9]
    assert "the best evaluation" not in output


def test_the_best_is_looked_at(returns, tmp_path, capsys):
    returns += [5.0, 2.0, 0.0, 0.0]
    options = {"num_devices": 1, "eval_every_n_steps": 1}
    small_task(**options, max_steps=2, run_dir=f"{tmp_path}/run").run()
    small_task(**options, run_mode="evaluate", load_from_ckpt_path=f"{tmp_path}/run/best").run()
    assert "step_00000001, 16 episodes:" in capsys.readouterr().out
