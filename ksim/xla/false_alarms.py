"""Hides XLA's false alarms about programs that JAX loads from its compilation cache.

For processors with AVX-512 XLA compiles under two hints, `prefer-no-gather` and
`prefer-no-scatter`, and lists them among the features that a program needs. When jaxlib 0.9 loads
the program it looks for them among the features of the processor, which never has hints, and logs
an error of 2 kB for each; and a warning that it compares no versions, which JAX's key does. The
program is loaded all the same, and right. No flag of XLA's prevents it, and nothing that is
written into the cache: the hints are added anew when a program is loaded.

So XLA's log is turned down to what is fatal while JAX loads a program, or compiles it if the cache
has none, and up again at once. Written for jax 0.9.2; from 0.12.0 on there is nothing to hide.
"""

import functools
import os
import threading
from collections.abc import Callable

import jax

_BEGIN = "/jax/compilation_cache/compile_requests_use_cache"
_END = "/jax/core/compile/backend_compile_duration"
_SILENT_FROM = (0, 12)
_FATAL_ONLY = 3


def hide_false_alarms() -> None:
    """Hides them from now on; does nothing if there are none, or if the user asks for more.

    JAX makes a `TF_CPP_MIN_LOG_LEVEL` of 1 if the user has none. With 0 everything is shown, and
    with 3 nothing is left to hide; `jax_logging_level` is the user's too.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "")
    is_set_in_jax = jax.config.jax_logging_level != "NOTSET"  # type: ignore[attr-defined]
    if level in ("1", "2") and not is_set_in_jax and jax.__version_info__ < _SILENT_FROM:
        _hide_below(int(level))


@functools.cache  # JAX keeps its listeners for as long as the process lives
def _hide_below(level: int) -> None:
    """Turns XLA's log down to what is fatal while a thread loads a program, and then to `level`."""
    try:
        from jaxlib import utils

        set_level: Callable[[int], None] = utils.absl_set_min_log_level
    except (ImportError, AttributeError):  # then they are shown
        return
    loading: set[int] = set()
    lock = threading.Lock()

    def begin(event: str, **_: str | int) -> None:
        if event == _BEGIN:
            with lock:
                loading.add(threading.get_ident())
                set_level(_FATAL_ONLY)

    def end(event: str, duration_secs: float, **_: str | int) -> None:
        del duration_secs
        if event == _END:
            with lock:
                loading.discard(threading.get_ident())
                if not loading:
                    set_level(level)

    jax.monitoring.register_event_listener(begin)
    jax.monitoring.register_event_duration_secs_listener(end)
