import jax
import pytest

from ksim.training.evaluation import Episodes


@pytest.fixture(scope="session", autouse=True)
def shared_compilation_cache(tmp_path_factory):
    """Runs with the same program compile it once, also for fixtures of a whole module."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture
def returns(monkeypatch):
    """What the evaluations to come return, in their order."""
    values = []
    metrics = Episodes.metrics
    monkeypatch.setattr(
        Episodes,
        "metrics",
        lambda episodes: metrics(episodes) | {"eval/episode/return": values.pop(0)},
    )
    return values
