from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ksim.config.concerns import RunConfig
from ksim.storage.checkpoint import save_checkpoint
from ksim.storage.run_directory import RunDirectory, check_run_directory, create_run_directory
from ksim.training.start import Start


def test_places_of_the_files():
    run = RunDirectory(Path("runs/walk/run_000"))
    assert {name: str(getattr(run, name)) for name in dir(run) if name.endswith("_path")} == {
        "config_path": "runs/walk/run_000/config.yaml",
        "csv_path": "runs/walk/run_000/metrics.csv",
        "log_path": "runs/walk/run_000/log.txt",
        "metrics_path": "runs/walk/run_000/metrics.jsonl",
        "tensorboard_path": "runs/walk/run_000/tensorboard",
        "checkpoints_path": "runs/walk/run_000/checkpoints",
        "videos_path": "runs/walk/run_000/videos",
    }
    assert not run.path.exists()


def test_numbers_go_on_after_the_highest(tmp_path):
    def create():
        return create_run_directory(None, "walk", tmp_path).path

    assert create() == tmp_path / "walk" / "run_000"
    (tmp_path / "walk" / "run_006").mkdir()
    (tmp_path / "walk" / "run_best").mkdir()
    assert create().name == "run_007"
    (tmp_path / "walk" / "run_999").write_text("")
    assert create().name == "run_1000"
    assert create().name == "run_1001"
    assert create_run_directory(None, "cartpole", tmp_path).path.name == "run_000"


def test_runs_that_start_at_once_get_directories_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        runs = list(
            pool.map(lambda _: create_run_directory(None, "walk", tmp_path).path.name, range(32))
        )
    assert sorted(runs) == [f"run_{number:03d}" for number in range(32)]


def test_named_directory_is_used_as_it_is(tmp_path):
    path = tmp_path / "a" / "b"
    assert create_run_directory(str(path), "walk", tmp_path / "runs") == RunDirectory(path)
    (path / "config.yaml").write_text("")
    assert create_run_directory(str(path), "walk").path == path
    assert [entry.name for entry in tmp_path.rglob("*")] == ["a", "b", "config.yaml"]


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    check_run_directory("~/run", "walk")
    assert create_run_directory("~/run", "walk").path == tmp_path / "run"
    save_checkpoint(tmp_path / "run" / "checkpoints", 3, {"x": 1}, {})
    for options in ({"run_dir": "~/run"}, {"load_from_ckpt_path": "~/run"}):
        found = Start.of(RunConfig(**options))
        assert found.path == tmp_path / "run" / "checkpoints" / "step_00000003"
    with pytest.raises(ValueError, match=r"~nobody-at-all/run: .*Write the whole path"):
        check_run_directory("~nobody-at-all/run", "walk")


def test_check_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_run_directory(None, "walk")
    check_run_directory("a/b", "walk")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("function", [check_run_directory, create_run_directory])
def test_directory_that_cannot_be_written(tmp_path, function):
    (tmp_path / "file").write_text("")
    for run_dir in ("file", "file/run"):
        with pytest.raises(
            ValueError,
            match=f"{tmp_path / run_dir} cannot be written, because of "
            f"{tmp_path / 'file'}: it is no directory.*run_dir=/tmp/my_run",
        ):
            function(str(tmp_path / run_dir), "walk")
    with pytest.raises(ValueError, match="/proc/ksim/run cannot be written, because of /proc: No"):
        function("/proc/ksim/run", "walk")
    with pytest.raises(ValueError, match="File name too long"):
        function(str(tmp_path / ("x" * 300)), "walk")
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"because of {tmp_path / 'runs'}: No such file"):
        function(None, "walk", tmp_path / "runs")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "runs"]
