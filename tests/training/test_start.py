"""A checkpoint is verified once, whoever asks for what is in it."""

import dataclasses
import shutil
from collections import Counter

import pytest

from ksim.config import AUTO, ConfigError
from ksim.storage import manifest
from ksim.storage.checkpoint import save_checkpoint
from ksim.storage.checkpoint_folder import best_return, find_checkpoint, list_checkpoints
from ksim.storage.manifest import CheckpointCorruptError
from ksim.training.start import Start
from tests.small_cartpole import read_metrics, small_config, small_task


def train(run_dir, max_steps, **changes):
    changes = {"num_devices": 2, "save_every_n_steps": None} | changes
    return small_task(run_dir=str(run_dir), max_steps=max_steps, **changes).run()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two iterations, and a checkpoint of each."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    train(run_dir, max_steps=2, save_every_n_steps=1)
    return run_dir


@pytest.fixture
def run_dir(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def hashed(monkeypatch):
    """How often each file was hashed, by its path."""
    counts, record = Counter(), manifest._record

    def count(path):
        counts[path] += 1
        return record(path)

    monkeypatch.setattr(manifest, "_record", count)
    return counts


def once(checkpoint):
    """Each file of a checkpoint, one time."""
    files = {path for path in checkpoint.rglob("*") if path.is_file()}
    assert len(files) > 4
    return dict.fromkeys(files - {checkpoint / "manifest.json"}, 1)


def split(hashed):
    """What was read of checkpoints that were there, and the steps of those that were written."""
    written = {path for path in hashed if ".writing" in f"{path}"}
    names = {part for path in written for part in path.parts if part.endswith(".writing")}
    assert all(hashed[path] == 1 for path in written)
    read = {path: count for path, count in hashed.items() if path not in written}
    return read, sorted(int(name.split("_")[1].split(".")[0]) for name in names)


def test_a_resume_hashes_each_file_once(run_dir, hashed):
    first, second = list_checkpoints(run_dir / "checkpoints")
    train(run_dir, max_steps=3)
    read, written = split(hashed)
    assert read == once(second)
    assert written == [3]
    assert len(list_checkpoints(first.parent)) == 3


def test_a_run_that_is_finished_is_not_saved_again(run_dir, hashed):
    *_, last = list_checkpoints(run_dir / "checkpoints")
    train(run_dir, max_steps=2)
    assert split(hashed) == (once(last), [])


@pytest.mark.parametrize("named", ["", "checkpoints", "best", "checkpoints/step_00000001"])
def test_a_run_from_another_hashes_each_file_once(finished, tmp_path, hashed, named):
    """The first one was not evaluated, and the second is the best therefore."""
    train(tmp_path / "new", max_steps=3, load_from_ckpt_path=str(finished / named))
    step = 1 if named.endswith("1") else 2
    assert split(hashed) == (once(finished / f"checkpoints/step_{step:08d}"), [3])


def test_a_save_hashes_what_it_writes(tmp_path, hashed):
    """Also when it looks for the best one among older checkpoints, and removes some."""
    train(tmp_path / "run", 4, save_every_n_steps=1, eval_every_n_steps=1, keep_checkpoints=1)
    assert split(hashed) == ({}, [1, 2, 3, 4])
    kept = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert 1 <= len(kept) <= 2
    returns = [line["eval/episode/return"] for line in read_metrics(tmp_path / "run")]
    assert best_return(kept[0].parent) == max(returns)


def test_other_ways_to_a_checkpoint_hash_each_file_once(finished, hashed):
    path = finished / "checkpoints" / "step_00000002"
    options = {"num_devices": 1, "load_from_ckpt_path": str(finished)}
    small_task(**options, run_mode="evaluate").run()
    assert hashed == once(path)
    hashed.clear()
    small_task(**options, run_mode="evaluate").evaluate_episodes()
    assert hashed == once(path)
    hashed.clear()
    task = small_task(**options, num_envs=AUTO)
    program = task.build()
    assert program.num_envs == 16
    task.start.parts(program, seed=0)
    assert hashed == once(path)


def test_a_trial_hashes_each_file_once(finished, hashed):
    small_task(num_devices=2, load_from_ckpt_path=str(finished), run_mode="verify").run()
    # It also saves one of its own, to load it on one device, and throws it away.
    found = {path: count for path, count in hashed.items() if path.is_relative_to(finished)}
    assert found == once(finished / "checkpoints" / "step_00000002")


def test_damaged_newer_ones_are_passed_over_and_said_once(run_dir, caplog):
    _, second = list_checkpoints(run_dir / "checkpoints")
    (second / "metadata.json").write_text("{}")
    assert train(run_dir, max_steps=3).iteration == 3
    warnings = [message for message in caplog.messages if "Skipping it" in message]
    assert len(warnings) == 1 and f"{second} is damaged in metadata.json" in warnings[0]
    assert [line["iteration"] for line in read_metrics(run_dir)] == [1, 2, 3]


def test_one_that_vanishes_after_it_was_found_is_missed(run_dir):
    task = small_task(num_devices=1, run_dir=str(run_dir))
    program = task.build()
    shutil.rmtree(task.start.path)
    with pytest.raises(CheckpointCorruptError, match=r"damaged in manifest\.json.*no such file"):
        task.start.parts(program, seed=0)


def test_one_that_is_saved_again_after_it_was_found_is_not_trusted(run_dir):
    task = small_task(num_devices=1, run_dir=str(run_dir))
    program = task.build()
    start = task.start
    save_checkpoint(start.path.parent, start.step, start.parts(program, 0), {"task": "another"})
    with pytest.raises(CheckpointCorruptError, match="that was verified, found a later one"):
        start.parts(program, seed=0)


def test_each_build_looks_again(run_dir):
    task = small_task(num_devices=1, run_dir=str(run_dir))
    task.build()
    assert task.start.step == 2
    shutil.rmtree(task.start.path)
    task.build()
    assert task.start.step == 1


def test_a_policy_is_not_looked_at_without_a_checkpoint(tmp_path):
    config = small_config(run_mode="evaluate", run_dir=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"run_mode=evaluate needs a checkpoint.*Write load_from"):
        Start.of(config)
    assert Start.of(dataclasses.replace(config, run_mode="verify")) == Start()


def test_a_claim_of_damaged_metadata_is_no_best_return(run_dir):
    first, second = list_checkpoints(run_dir / "checkpoints")
    value = best_return(first.parent)
    assert value == find_checkpoint(second).metadata["evaluation_return"]
    text = (second / "metadata.json").read_text()
    (second / "metadata.json").write_text(text.replace(f"{value}", f"9{value}"))
    assert best_return(first.parent) == -float("inf")
