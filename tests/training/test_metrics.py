import numpy as np
import pytest

from ksim.rl import RolloutStatistics
from ksim.training.metrics import check_update_metrics, rollout_metrics


def statistics(**changes):
    """Sums of two devices: 10 steps each, 3 and 1 episodes."""
    values = {
        "num_steps": [10, 10],
        "reward": [6, 2],
        "metrics": {"reward/alive": [5, 1]},
        "num_episodes": [3, 1],
        "episode_return": [30, 2],
        "episode_length": [12, 4],
        "terminations": {"fallen": [2, 1], "time_out": [1, 0]},
        "contributions": {},
        "level": [4, 4],
    }
    return RolloutStatistics(
        **{
            name: {key: np.float32(array) for key, array in value.items()}
            if isinstance(value, dict)
            else np.float32(value)
            for name, value in (values | changes).items()
        }
    )


def test_means_by_hand():
    assert rollout_metrics(statistics()) == {
        "reward/total": 0.4,  # (6 + 2) / 20
        "reward/alive": 0.3,  # (5 + 1) / 20
        "episode/count": 4,
        "episode/return": 8,  # (30 + 2) / 4, not the mean of 10 and 2
        "episode/length": 4,  # (12 + 4) / 4
        "termination/fallen": 0.75,
        "termination/time_out": 0.25,
        "device/0/reward": pytest.approx(0.6),
        "device/1/reward": pytest.approx(0.2),
    }


def test_without_a_finished_episode_nothing_is_said_of_episodes():
    nothing = [0, 0]
    metrics = rollout_metrics(
        statistics(
            num_episodes=nothing,
            episode_return=nothing,
            episode_length=nothing,
            terminations={"fallen": nothing},
        )
    )
    assert metrics.keys() == {
        *("reward/total", "reward/alive", "episode/count", "device/0/reward", "device/1/reward")
    }


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_ends_the_run(value):
    metrics = {"loss/value": value, "loss/policy": 1.0, "device/is_identical": 1.0}
    with pytest.raises(FloatingPointError, match="Iteration 7: loss/value became NaN or infinite"):
        check_update_metrics(metrics, 7)


def test_replicas_that_differ_end_the_run():
    check_update_metrics({"device/is_identical": 1.0}, 7)
    message = r"Iteration 7: the devices do not hold the same .* differ by up to 0\.25"
    with pytest.raises(RuntimeError, match=message):
        check_update_metrics({"device/is_identical": 0.0, "device/replica_drift": 0.25}, 7)


@pytest.mark.parametrize(
    ("broken", "acted", "advice"),
    [
        ({"loss/total": np.nan}, {}, "Often helps: a lower learning_rate"),
        (
            {"loss/total": np.nan, "value/mean": 1.0},
            {"reward/total": np.inf, "reward/speed": np.inf, "reward/alive": 1.0},
            "in the world itself: reward/total, reward/speed. Look there for divisions by 0",
        ),
        ({"value/mean": np.nan}, {"reward/total": 1.0}, "look at the observations"),
    ],
)
def test_a_broken_update_says_where_to_look(broken, acted, advice):
    with pytest.raises(FloatingPointError, match=advice):
        check_update_metrics(broken, 7, acted)
