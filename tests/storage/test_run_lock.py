"""Two runs never write one directory at once."""

import errno
import os
import subprocess
import sys

import pytest

from ksim.config import ConfigError
from ksim.storage.run_lock import run_lock
from tests.small_cartpole import small_task

LOCK_AND_DIE = """
import os, pathlib, sys
from ksim.storage.run_lock import run_lock
with run_lock(pathlib.Path(sys.argv[1])):
    os._exit(0)
"""


def test_a_second_run_is_told_of_the_first(tmp_path):
    with run_lock(tmp_path):
        with pytest.raises(ConfigError) as caught, run_lock(tmp_path):
            pass
        assert f"Another run (pid {os.getpid()} on " in str(caught.value)
        assert str(caught.value).endswith(f"run_dir={tmp_path}_2")
    with run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_leaves_no_lock(tmp_path):
    subprocess.run([sys.executable, "-c", LOCK_AND_DIE, str(tmp_path)], check=True)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with run_lock(tmp_path):
        pass


def test_a_machine_that_is_gone_is_waited_for(tmp_path, monkeypatch):
    seconds = "ksim.storage.run_lock._SECONDS_TO_WAIT_FOR_ANOTHER_MACHINE"
    with run_lock(tmp_path):
        (tmp_path / ".lock").write_text("pid 1 on elsewhere")
        monkeypatch.setattr(seconds, 0)
        with pytest.raises(ConfigError, match="pid 1 on elsewhere"), run_lock(tmp_path):
            pass
        monkeypatch.setattr(seconds, 60)
        monkeypatch.setattr("time.sleep", lambda seconds: (tmp_path / ".lock").unlink())
        with run_lock(tmp_path):  # the file that is there now is another one, and free
            pass


def test_a_file_system_without_locks_locks_nothing(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with run_lock(tmp_path), run_lock(tmp_path):
        pass


def test_a_directory_in_use_is_left_as_it_is(tmp_path):
    with run_lock(tmp_path), pytest.raises(ConfigError, match="Another run"):
        small_task(num_devices=1, run_dir=str(tmp_path), max_steps=1).run()
    assert list(tmp_path.iterdir()) == []
