"""Commands: what is drawn, and when."""

import jax
import numpy as np
import pytest

from ksim import AngularVelocityCommand, LinearVelocityCommand


def follow(command, state, num_steps):
    """Calls a command in a row; returns the values, `[num_steps, size]`."""

    def step(carry, key):
        value, carry = command(state, carry, key)
        return carry, value

    keys = jax.random.split(jax.random.key(1), num_steps)
    return np.array(jax.lax.scan(step, command.init(jax.random.key(0)), keys)[1])


def draw_many(command, state, count=500):
    carry = command.init(jax.random.key(0))
    keys = jax.random.split(jax.random.key(2), count)
    return np.array(jax.jit(jax.vmap(lambda key: command(state, carry, key)[0]))(keys))


def test_a_command_holds_for_its_interval(model, make_state):
    # 0.18 s are 9 steps of 0.02 s, although in float32 nine subtractions leave 3e-8 s: the draws
    # are at steps 0, 9 and 18.
    command = LinearVelocityCommand.create(model, interval_range=(0.18, 0.18), zero_probability=0.0)
    values = follow(command, make_state(), 19)
    for step in range(19):
        np.testing.assert_array_equal(values[step], values[9 * (step // 9)])
    assert len({tuple(value) for value in values}) == 3


def test_a_command_approaches_what_was_drawn_at_its_rate(model, make_state):
    command = LinearVelocityCommand.create(
        model, x_range=(0.1, 0.1), y_range=(-0.05, -0.05), zero_probability=0.0, max_rate=2.0
    )
    values = follow(command, make_state(), 4)
    # 2 m/s^2 in steps of 0.02 s are 0.04 m/s a step, from 0; the last steps are what is left.
    np.testing.assert_allclose(values[:, 0], [0.04, 0.08, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(values[:, 1], [-0.04, -0.05, -0.05, -0.05], rtol=1e-6)
    with pytest.raises(ValueError, match="max_rate"):
        LinearVelocityCommand.create(model, max_rate=0.0)


def test_intervals_are_drawn_from_their_range(model, make_state):
    command = AngularVelocityCommand.create(model, interval_range=(0.02, 0.08))
    keys = jax.random.split(jax.random.key(3), 500)
    fresh = command.init(jax.random.key(0))
    _, (_, _, time_left) = jax.jit(jax.vmap(lambda key: command(make_state(), fresh, key)))(keys)
    interval = np.array(time_left) + 0.02
    assert 0.02 <= interval.min() < 0.025
    assert 0.075 < interval.max() <= 0.08


def test_linear_velocity_is_uniform_in_its_ranges(model, make_state):
    command = LinearVelocityCommand.create(
        model, x_range=(1.0, 2.0), y_range=(-0.5, 0.0), zero_probability=0.0
    )
    values = draw_many(command, make_state())
    assert values.shape == (500, 2)
    assert values.min(axis=0) == pytest.approx([1.0, -0.5], abs=0.02)
    assert values.max(axis=0) == pytest.approx([2.0, 0.0], abs=0.02)
    assert values.mean(axis=0) == pytest.approx([1.5, -0.25], abs=0.05)
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.15


def test_zero_probability(model, make_state):
    command = AngularVelocityCommand.create(model, yaw_range=(1.0, 1.0), zero_probability=0.25)
    values = draw_many(command, make_state())
    assert set(values.ravel().tolist()) == {0.0, 1.0}
    # 500 draws: the standard deviation of the share is sqrt(0.25 * 0.75 / 500) = 0.02
    assert (values == 0.0).mean() == pytest.approx(0.25, abs=0.06)


def test_the_level_of_the_moment_of_the_draw_scales(model, make_state):
    command = AngularVelocityCommand.create(
        model, yaw_range=(0.8, 0.8), zero_probability=0.0, is_scaled_by_level=True
    )
    first_key, second_key = jax.random.split(jax.random.key(0))
    value, carry = command(make_state(level=0.5), command.init(first_key), first_key)
    np.testing.assert_allclose(value, [0.4])  # 0.5 * 0.8
    value, _ = command(make_state(level=1.0), carry, second_key)
    np.testing.assert_allclose(value, [0.4])
    unscaled = AngularVelocityCommand.create(model, yaw_range=(0.8, 0.8), zero_probability=0.0)
    np.testing.assert_allclose(draw_many(unscaled, make_state(level=0.5), 1), [[0.8]])


def test_the_first_command_needs_no_commands(model, make_state):
    state = make_state(commands={})
    command = LinearVelocityCommand.create(model)
    value, _ = command(state, command.init(jax.random.key(1)), jax.random.key(0))
    assert value.shape == (2,)
