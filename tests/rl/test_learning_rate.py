"""How the learning rate changes during a run."""

import jax.numpy as jnp
import pytest

from ksim.rl import LearningRateSchedule


def at(schedule, iteration, scale=1.0):
    return float(schedule.at(jnp.int32(iteration), jnp.float32(scale)))


def after_updates(schedule, *kls, scale=1.0, iteration=0):
    scale = jnp.float32(scale)
    for kl in kls:
        scale = schedule.after_update(scale, jnp.float32(kl), jnp.int32(iteration))
    return float(scale)


def test_constant():
    schedule = LearningRateSchedule()
    assert [at(schedule, i) for i in (0, 5, 1000)] == [1, 1, 1]
    # A run that goes on from a checkpoint of a linear schedule, which ended near 0.
    assert at(schedule, 5, scale=0.01) == 1
    assert after_updates(schedule, 10.0, 0.0) == 1


def test_linear_falls_to_0():
    schedule = LearningRateSchedule("linear", num_iterations=10)
    values = [at(schedule, i, scale=0.123) for i in (0, 1, 5, 10, 12)]
    assert values == pytest.approx([1, 0.9, 0.5, 0, 0])
    assert after_updates(schedule, 10.0, scale=0.5) == 0.5


def test_cosine_falls_to_0():
    schedule = LearningRateSchedule("cosine", num_iterations=12)
    # (1 + cos(pi i / 12)) / 2: cos 0 = 1, cos(pi / 3) = 1/2, cos(pi / 2) = 0, cos(pi) = -1.
    values = [at(schedule, i) for i in (0, 4, 6, 12, 20)]
    assert values == pytest.approx([1, 0.75, 0.5, 0, 0], abs=1e-6)


def test_adaptive_follows_the_divergence():
    schedule = LearningRateSchedule("adaptive", target_kl=0.01, step=1.5)
    assert at(schedule, 7, scale=0.3) == pytest.approx(0.3)  # what the last iteration left
    assert after_updates(schedule, 0.021) == pytest.approx(1 / 1.5)
    assert after_updates(schedule, 0.019) == 1
    assert after_updates(schedule, 0.006) == 1
    assert after_updates(schedule, 0.004) == pytest.approx(1.5)
    assert after_updates(schedule, 0.03, 0.03, 0.001) == pytest.approx(1 / 1.5)


def test_adaptive_stays_within_its_bounds():
    schedule = LearningRateSchedule("adaptive", target_kl=0.01, minimum=0.1, maximum=4.0)
    assert after_updates(schedule, *[1.0] * 20) == pytest.approx(0.1)
    assert after_updates(schedule, *[0.0] * 20) == pytest.approx(4.0)


def test_adaptive_linear_aims_at_less_and_less():
    schedule = LearningRateSchedule("adaptive_linear", num_iterations=10, target_kl=0.01)
    assert at(schedule, 7, scale=0.3) == pytest.approx(0.3)
    assert after_updates(schedule, 0.019, iteration=0) == 1
    # Halfway the target is 0.005: above 0.01 the factor shrinks, below 0.0025 it grows.
    assert after_updates(schedule, 0.011, iteration=5) == pytest.approx(1 / 1.5)
    assert after_updates(schedule, 0.009, iteration=5) == 1
    assert after_updates(schedule, 0.002, iteration=5) == pytest.approx(1.5)
    assert after_updates(schedule, 1e-6, iteration=10) == pytest.approx(1 / 1.5)


def test_unknown_kind():
    with pytest.raises(ValueError, match=r"must be one of constant, linear.*found lineer"):
        LearningRateSchedule("lineer")


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_length_of_the_run_is_needed(kind):
    with pytest.raises(ValueError, match=f"learning_rate_schedule={kind} needs the length"):
        LearningRateSchedule(kind)
