"""Every test runs with 8 simulated devices, strict shapes, and types checked at run time."""

import gc
import os
from pathlib import Path

# Before JAX starts. The long time-outs are for 8 devices on the cores of a small machine.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=8",
        "--xla_cpu_collective_call_warn_stuck_timeout_seconds=120",
        "--xla_cpu_collective_call_terminate_timeout_seconds=600",
        # Tests compile much and run little.
        "--xla_backend_optimization_level=0",
    ]
)
os.environ["JAX_PLATFORMS"] = "cpu"
# XLA alarms of every program that comes from the cache of this session (ksim.xla.false_alarms).
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import flax.struct
import jax

if jax.__version_info__ < (0, 10):
    # Halves the time to compile; later versions do without, and refuse the flag.
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

import pytest
from jaxtyping import install_import_hook

# Traces of hundreds of programs stay: to look through them as often as Python would takes a tenth
# of the suite's time.
gc.set_threshold(50_000, 20, 100)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_include_full_tracebacks_in_locations", False)  # takes time, and nobody looks

_dataclass = flax.struct.dataclass


def _unchecked_dataclass(cls=None, **options):
    """A pytree's fields hold whatever a tree map puts there, so only functions are checked."""
    if cls is None:
        return lambda cls: _unchecked_dataclass(cls, **options)
    cls.__no_type_check__ = True
    return _dataclass(cls, **options)


flax.struct.dataclass = _unchecked_dataclass
# jaxtyping imports the checker by its first name only.
import tests.type_checker  # noqa: E402, F401

install_import_hook("ksim", "tests.type_checker.check_types").__enter__()


# Linux gives a process 65,530 memory maps. A compiled program takes several, and LLVM does not
# survive the last one.
MAPS = Path("/proc/self/maps")
MANY_MAPS = 20_000


@pytest.fixture(autouse=True, scope="session")
def shared_compilation_cache(tmp_path_factory):
    """Tests with the same program compile it once, also fixtures of a whole module."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture
def without_a_cache():
    """No cache of compiled programs is configured yet."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_let_go():
    """Programs of earlier modules are forgotten before there are too many."""
    yield
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(autouse=True)
def in_a_directory_of_its_own(tmp_path, monkeypatch):
    """Runs write below the working directory: each test gets its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
