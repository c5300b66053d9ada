"""A run ends once episodes, and then an evaluation, return enough."""

import pytest

from ksim.training import loop
from tests.small_cartpole import read_metrics, small_task

ACTED = [3.0, 10.0, 12.0, 13.0, 3.0]  # the return of each iteration's episodes


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Runs a task whose iterations return `ACTED`; returns how it ended, and what it logged."""
    values = iter(ACTED)
    metrics = loop.rollout_metrics
    monkeypatch.setattr(
        loop, "rollout_metrics", lambda totals: metrics(totals) | {"episode/return": next(values)}
    )

    def run(**options):
        result = small_task(num_devices=1, max_steps=5, run_dir=f"{tmp_path}/run", **options).run()
        return result, read_metrics(tmp_path / "run")

    return run


def test_both_have_to_return_enough(train, returns, tmp_path, capsys):
    # The second iteration's episodes do, and the evaluation does not; in the third both do.
    returns += [9.5, 10.0]
    result, lines = train(stop_at_return=10.0)
    assert result.iteration == 3
    assert [line.get("eval/episode/return") for line in lines] == [None, 9.5, 10.0]
    assert (tmp_path / "run" / "checkpoints" / "step_00000003").exists()
    last_line = "Finished after 3 iterations, evaluation return 10.00 (stop_at_return is reached)."
    assert last_line in capsys.readouterr().out


def test_a_regular_evaluation_alone_does_not_end_it(train, returns):
    returns += [99.0] * 4
    result, lines = train(stop_at_return=12.5, eval_every_n_steps=1)
    assert result.iteration == len(lines) == 4


def test_no_run_ends_without_it(train, returns):
    returns += [99.0]
    assert train()[0].iteration == 5
