"""Compiled programs between runs."""

import jax
import pytest

from ksim.xla.compilation_cache import enable_compilation_cache
from tests.xla.subprocesses import run_python


@pytest.mark.usefixtures("without_a_cache")
@pytest.mark.parametrize("threads", [2, 3])
def test_programs_are_kept_apart_by_the_threads_that_they_were_compiled_for(
    monkeypatch, tmp_path, threads
):
    """JAX takes no notice of them: its key is equal for 1 and for 100."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NPROC", str(threads))
    directory = enable_compilation_cache()
    assert directory == tmp_path / "ksim" / "jax" / f"{threads}-threads"
    assert directory.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("without_a_cache")
def test_a_cache_that_cannot_be_used_is_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert enable_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir is None
    (message,) = caplog.messages
    assert "Not a directory: '/dev/null/ksim" in message
    assert "is_compilation_cached=false" in message


@pytest.mark.usefixtures("without_a_cache")
def test_a_directory_of_the_users_own_stays():
    jax.config.update("jax_compilation_cache_dir", "/somewhere/else")
    assert str(enable_compilation_cache()) == "/somewhere/else"
    assert jax.config.jax_compilation_cache_dir == "/somewhere/else"


def test_jax_keeps_every_program_there(tmp_path):
    code = """
import jax
from ksim.xla.compilation_cache import enable_compilation_cache
directory = enable_compilation_cache()
assert not list(directory.iterdir())
jax.jit(lambda x: x + 1)(1.0)  # compiles in no time
assert len(list(directory.glob("*-cache"))) > 0
"""
    run_python(code, XDG_CACHE_HOME=str(tmp_path))


def test_jax_does_not_tell_threads_apart(tmp_path):
    """If this fails, one directory would do for all."""
    code = """
import jax
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: x + 1)(jax.numpy.ones(3))
"""
    for threads in ("1", "4"):
        run_python(code, NPROC=threads, JAX_COMPILATION_CACHE_DIR=str(tmp_path))
    before = {path.name for path in tmp_path.glob("*-cache")}
    run_python(code, NPROC="7", JAX_COMPILATION_CACHE_DIR=str(tmp_path))
    assert {path.name for path in tmp_path.glob("*-cache")} == before
