"""Curricula: how the level moves."""

import jax
import jax.numpy as jnp
import pytest

from ksim import ConstantCurriculum, EpisodeLengthCurriculum, LinearCurriculum, TrainingProgress


def progress(iteration=0, num_episodes=0, length=0.0):
    return TrainingProgress(
        iteration=jnp.array(iteration),
        num_episodes=jnp.array(num_episodes, jnp.float32),
        mean_episode_length_seconds=jnp.array(length),
        mean_episode_return=jnp.array(0.0),
    )


def test_constant():
    curriculum = ConstantCurriculum(0.3)
    assert curriculum.initial_level == 0.3
    assert curriculum(progress(5), ())[0] == pytest.approx(0.3)


def test_linear():
    curriculum = LinearCurriculum(iterations=10, start=0.2)
    assert curriculum.initial_level == 0.2
    levels = [float(curriculum(progress(iteration), ())[0]) for iteration in (1, 5, 10, 20)]
    # 0.2 + 0.8 * 1/10, 0.2 + 0.8 * 5/10, then 1
    assert levels == pytest.approx([0.28, 0.6, 1.0, 1.0])


def test_episode_length():
    curriculum = EpisodeLengthCurriculum(
        raise_above_seconds=8.0, lower_below_seconds=4.0, step=0.4, start=0.3
    )
    assert curriculum.initial_level == 0.3
    carry, levels = curriculum.init(jax.random.key(0)), []
    for num_episodes, length in ((2, 9.0), (2, 6.0), (0, 0.0), (1, 9.0), (1, 9.0), (3, 1.0)):
        level, carry = curriculum(progress(1, num_episodes, length), carry)
        levels.append(float(level))
    # up; between the thresholds; no episode ended; up to 1.1 -> 1; at the top; down
    assert levels == pytest.approx([0.7, 0.7, 0.7, 1.0, 1.0, 0.6])


def test_episode_length_does_not_fall_below_zero():
    curriculum = EpisodeLengthCurriculum(raise_above_seconds=8.0, lower_below_seconds=4.0)
    level, _ = curriculum(progress(1, 1, 1.0), curriculum.init(jax.random.key(0)))
    assert level == 0.0


def test_thresholds_out_of_order():
    with pytest.raises(ValueError, match=r"lower_below_seconds \(5 s\) must not be above"):
        EpisodeLengthCurriculum(raise_above_seconds=4.0, lower_below_seconds=5.0)
    with pytest.raises(ValueError, match="step must be positive"):
        EpisodeLengthCurriculum(raise_above_seconds=4.0, step=0.0)
