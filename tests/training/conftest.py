import pytest

from ksim.training.evaluation import Episodes


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
