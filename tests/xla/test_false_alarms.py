"""What a second start prints, of programs from the compilation cache."""

import jax
import pytest

from ksim.xla import false_alarms
from ksim.xla.false_alarms import hide_false_alarms
from tests.xla.subprocesses import run_python

AS_IN_A_NOTEBOOK = """
import jax
import jax.numpy as jnp
import ksim
from ksim.xla.compilation_cache import enable_compilation_cache
{before}
enable_compilation_cache()
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((3, 3)))
print([event.rpartition("/")[2] for event in events].count("cache_hits") > 0)
"""
SHOWN = "import ksim.xla.false_alarms as alarms; alarms._SILENT_FROM = (0, 0)"


def test_a_second_start_alarms_nobody(tmp_path):
    code = AS_IN_A_NOTEBOOK.format(before="")
    run_python(code, XDG_CACHE_HOME=str(tmp_path))
    printed, shown = run_python(code, XDG_CACHE_HOME=str(tmp_path))
    assert printed.strip() == "True"  # programs come from the cache
    assert shown == ""


def test_the_import_of_ksim_sets_nothing_for_others():
    code = """
import os
before = dict(os.environ)
import ksim
assert dict(os.environ) == before
import jax  # sets TF_CPP_MIN_LOG_LEVEL itself
after = dict(os.environ)
import ksim.task, ksim.functional, ksim.training.run
assert dict(os.environ) == after
"""
    run_python(code)


def test_there_is_something_to_hide(tmp_path):
    """If this fails with the jax of Python 3.11, `false_alarms` can go."""
    code = AS_IN_A_NOTEBOOK.format(before=SHOWN)
    run_python(code, XDG_CACHE_HOME=str(tmp_path))
    _, shown = run_python(code, XDG_CACHE_HOME=str(tmp_path))
    assert ("Assume version compatibility" in shown) == (jax.__version_info__ < (0, 10))
    if jax.__version_info__ >= (0, 12):
        assert shown == ""


@pytest.mark.skipif(jax.__version_info__ >= (0, 12), reason="nothing is hidden")
def test_other_messages_are_shown(tmp_path):
    """Those that do not come from a load: XLA warns of what it is asked outside of one."""
    code = AS_IN_A_NOTEBOOK.format(before="") + LOGGED_LATER
    for _ in range(2):
        _, shown = run_python(code, XDG_CACHE_HOME=str(tmp_path))
    assert "Assume version compatibility" in shown  # a program that was not loaded by JAX's cache
    assert shown.count("Assume version compatibility") == 1


LOGGED_LATER = """
from jax.experimental.serialize_executable import deserialize_and_load, serialize
jax.config.update("jax_enable_compilation_cache", False)
compiled = jax.jit(lambda x: x + 2).lower(1.0).compile()
deserialize_and_load(*serialize(compiled))
"""


@pytest.mark.parametrize("level", ["0", "3"])
def test_a_level_of_the_users_own_stays(monkeypatch, level):
    monkeypatch.setattr(false_alarms, "_hide_below", pytest.fail)
    monkeypatch.setattr(jax, "__version_info__", (0, 9, 2))
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    hide_false_alarms()


def test_a_jaxlib_that_cannot_be_turned_down(monkeypatch):
    from jaxlib import utils

    monkeypatch.delattr(utils, "absl_set_min_log_level")
    listeners = []
    monkeypatch.setattr(jax.monitoring, "register_event_listener", listeners.append)
    false_alarms._hide_below.__wrapped__(1)
    assert listeners == []


def test_the_level_falls_while_any_thread_loads(monkeypatch):
    from jaxlib import utils

    levels, begins, ends = [], [], []
    monkeypatch.setattr(utils, "absl_set_min_log_level", levels.append)
    monkeypatch.setattr(jax.monitoring, "register_event_listener", begins.append)
    monkeypatch.setattr(jax.monitoring, "register_event_duration_secs_listener", ends.append)
    false_alarms._hide_below.__wrapped__(2)
    thread = iter([1, 2, 1, 2])
    monkeypatch.setattr("threading.get_ident", lambda: next(thread))
    begins[0]("/jax/compilation_cache/compile_requests_use_cache")
    begins[0]("/jax/compilation_cache/compile_requests_use_cache")
    ends[0]("/jax/core/compile/backend_compile_duration", 0.1)
    assert levels == [3, 3]
    ends[0]("/jax/core/compile/backend_compile_duration", 0.1)
    assert levels == [3, 3, 2]
    begins[0]("/jax/compilation_cache/cache_hits")
    assert levels == [3, 3, 2]
