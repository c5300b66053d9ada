"""The cart-pole against hand arithmetic and a slow reference."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ksim import CartPole
from ksim.envs import DiscreteActions
from ksim.envs.cartpole import CartPoleState

ENVIRONMENT = CartPole()

reset = jax.jit(ENVIRONMENT.reset)
step = jax.jit(ENVIRONMENT.step)


def make_state(position=0.0, velocity=0.0, angle=0.0, angular_velocity=0.0, num_steps=0):
    numbers = map(jnp.float32, (position, velocity, angle, angular_velocity))
    return CartPoleState(*numbers, num_steps=jnp.int32(num_steps))


def advance(state, action):
    return step(state, jnp.int32(action), jax.random.key(0))


def numbers_of(state):
    values = (state.position, state.velocity, state.angle, state.angular_velocity)
    return [float(value) for value in values]


def test_two_actions_every_fiftieth_of_a_second():
    assert ENVIRONMENT.action_space == DiscreteActions(2)
    assert ENVIRONMENT.ctrl_dt == 0.02
    assert ENVIRONMENT.observation_shapes() == {"state": (4,)}


@pytest.mark.parametrize(("action", "sign"), [(1, 1.0), (0, -1.0)])
def test_push_at_rest_by_hand(action, sign):
    # A force of 10 N on 1.1 kg: thrust = 10 / 1.1 = 9.090909.
    # Angular acceleration = -9.090909 / (0.5 (4/3 - 0.1 / 1.1)) = -9.090909 / 0.6212121
    #   = -14.634146; acceleration = 9.090909 + 0.05 * 14.634146 / 1.1 = 9.756098.
    # After 0.02 s: 0.1951220 m/s and -0.2926829 rad/s; explicit Euler leaves the positions.
    state, timestep = advance(make_state(), action)
    expected = [0.0, sign * 0.1951220, 0.0, sign * -0.2926829]
    np.testing.assert_allclose(numbers_of(state), expected, rtol=1e-6)
    np.testing.assert_allclose(timestep.observations["state"], expected, rtol=1e-6)
    assert float(timestep.reward) == 1.0
    assert int(state.num_steps) == 1


def test_pushed_and_leaning_by_hand():
    # sin 0.1 = 0.0998334, cos 0.1 = 0.9950042, angular velocity 2 rad/s.
    # thrust = (10 + 0.05 * 2^2 * 0.0998334) / 1.1 = 10.0199667 / 1.1 = 9.1090606
    # Angular acceleration = (9.8 * 0.0998334 - 0.9950042 * 9.1090606)
    #   / (0.5 (4/3 - 0.1 * 0.9900333 / 1.1)) = (0.9783674 - 9.0635532) / 0.6216651 = -13.0057
    # Acceleration = 9.1090606 + 0.05 * 13.0057 * 0.9950042 / 1.1 = 9.6973
    state, _ = advance(make_state(1.0, -0.5, 0.1, 2.0), 1)
    position, velocity, angle, angular_velocity = numbers_of(state)
    assert position == pytest.approx(1.0 + 0.02 * -0.5)
    assert angle == pytest.approx(0.1 + 0.02 * 2.0)
    assert velocity == pytest.approx(-0.5 + 0.02 * 9.6973, abs=1e-5)
    assert angular_velocity == pytest.approx(2.0 - 0.02 * 13.0057, abs=1e-5)


def slow_reference(state, action):
    """Solves the equations of motion as a linear system in double precision.

    (M + m) a + m l w' cos - m l w^2 sin = F, and 4/3 m l^2 w' + m l a cos = m g l sin.
    """
    cart, pole, half_length, gravity = 1.0, 0.1, 0.5, 9.8
    x, v, angle, w = state
    force = 10.0 if action == 1 else -10.0
    coupling = pole * half_length * math.cos(angle)
    masses = np.array([[cart + pole, coupling], [coupling, 4 / 3 * pole * half_length**2]])
    forces = np.array(
        [
            force + pole * half_length * w**2 * math.sin(angle),
            pole * gravity * half_length * math.sin(angle),
        ]
    )
    acceleration, angular_acceleration = np.linalg.solve(masses, forces)
    return np.array(
        [x + 0.02 * v, v + 0.02 * acceleration, angle + 0.02 * w, w + 0.02 * angular_acceleration]
    )


def test_200_steps_equal_the_slow_reference():
    # Each step from the same state: far from upright, the pole forgets no rounding.
    actions = np.random.default_rng(0).integers(0, 2, 200)
    state, _ = reset(jax.random.key(0))
    for action in actions:
        expected = slow_reference(numbers_of(state), action)
        state, _ = advance(state, action)
        np.testing.assert_allclose(numbers_of(state), expected, rtol=1e-5, atol=1e-5)
    assert abs(numbers_of(state)[2]) > math.pi  # it swung through all angles


def test_starts_near_upright():
    observations = jax.vmap(lambda key: reset(key)[1]["state"])(
        jax.random.split(jax.random.key(0), 1000)
    )
    assert np.all(np.abs(observations) <= 0.05)
    assert np.all(np.max(np.abs(observations), axis=0) > 0.045)
    assert np.all(np.abs(np.mean(observations, axis=0)) < 0.005)
    state, _ = reset(jax.random.key(0))
    assert int(state.num_steps) == 0


@pytest.mark.parametrize(
    ("state", "fallen", "left_track"),
    [
        # 12 degrees are 0.2094 rad: 0.2 + 0.02 * 0.4 = 0.208, 0.2 + 0.02 * 0.6 = 0.212.
        ({"angle": 0.2, "angular_velocity": 0.4}, False, False),
        ({"angle": 0.2, "angular_velocity": 0.6}, True, False),
        ({"angle": -0.2, "angular_velocity": -0.6}, True, False),
        # 2.39 + 0.02 * 0.4 = 2.398, 2.39 + 0.02 * 0.6 = 2.402.
        ({"position": 2.39, "velocity": 0.4}, False, False),
        ({"position": 2.39, "velocity": 0.6}, False, True),
        ({"position": -2.39, "velocity": -0.6}, False, True),
        ({"position": 2.5, "angle": 0.3}, True, True),
    ],
)
def test_failures(state, fallen, left_track):
    _, timestep = advance(make_state(**state), 1)
    assert bool(timestep.is_terminated) == (fallen or left_track)
    assert bool(timestep.terminations["fallen"]) == fallen
    assert bool(timestep.terminations["left_track"]) == left_track
    assert not timestep.is_truncated
    assert float(timestep.reward) == 1.0


@pytest.mark.parametrize(("num_steps", "is_over"), [(0, False), (498, False), (499, True)])
def test_time_out_after_500_steps(num_steps, is_over):
    state, timestep = advance(make_state(num_steps=num_steps), 1)
    assert int(state.num_steps) == num_steps + 1
    assert bool(timestep.is_truncated) == is_over
    assert bool(timestep.terminations["time_out"]) == is_over
    assert not timestep.is_terminated


def test_balanced_pole_times_out_with_return_500():
    def balance(state, key):
        push = 0.1 * state.position + 0.2 * state.velocity + state.angle + state.angular_velocity
        state, timestep = ENVIRONMENT.step(state, (push > 0).astype(jnp.int32), key)
        return state, (timestep.reward, timestep.is_terminated, timestep.is_truncated)

    keys = jax.random.split(jax.random.key(0), 500)
    start, _ = reset(jax.random.key(1))
    _, (reward, is_terminated, is_truncated) = jax.lax.scan(balance, start, keys)
    assert not is_terminated.any()
    assert np.flatnonzero(is_truncated).tolist() == [499]
    assert float(reward.sum()) == 500
