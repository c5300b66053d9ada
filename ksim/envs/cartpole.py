"""The classic cart-pole, in pure JAX."""

import math

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int, Key

from ksim.envs.environment import DiscreteActions, Environment, Timestep

GRAVITY = 9.8
CART_MASS = 1.0
POLE_MASS = 0.1
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_POLE_LENGTH = 0.5
FORCE = 10.0
SECONDS_PER_STEP = 0.02
ANGLE_LIMIT = math.radians(12)
POSITION_LIMIT = 2.4
MAX_EPISODE_STEPS = 500


@struct.dataclass
class CartPoleState:
    """State of a cart-pole.

    Attributes:
      position: `[]` position of the cart, m.
      velocity: `[]` velocity of the cart, m/s.
      angle: `[]` angle of the pole from upright, rad.
      angular_velocity: `[]` angular velocity of the pole, rad/s.
      num_steps: `[]` int32 steps since the episode began.
    """

    position: Float[Array, ""]
    velocity: Float[Array, ""]
    angle: Float[Array, ""]
    angular_velocity: Float[Array, ""]
    num_steps: Int[Array, ""]


class CartPole(Environment):
    """Balances a pole on a cart by pushing the cart left (0) or right (1).

    Reward 1 for every step; the episode fails when the pole leans more than 12 degrees or the
    cart leaves +-2.4 m, and times out after 500 steps, so 500 is the highest return.

    Reference:
      Barto, Sutton and Anderson 1983, "Neuronlike adaptive elements that can solve difficult
      learning control problems"; the constants are those of Gymnasium's CartPole-v1.
    """

    ctrl_dt = SECONDS_PER_STEP

    @property
    def action_space(self) -> DiscreteActions:
        """Left or right."""
        return DiscreteActions(2)

    def reset(self, key: Key[Array, ""]) -> tuple[CartPoleState, dict[str, Array]]:
        """Starts near the upright position, all four numbers uniform in +-0.05."""
        values = jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)
        state = CartPoleState(*values, num_steps=jnp.int32(0))
        return state, _observe(state)

    def step(
        self, state: CartPoleState, action: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[CartPoleState, Timestep]:
        """Pushes the cart for 0.02 s (explicit Euler, as in the classic version)."""
        del key
        force = jnp.where(action == 1, FORCE, -FORCE)
        sine, cosine = jnp.sin(state.angle), jnp.cos(state.angle)
        pole_moment = POLE_MASS * HALF_POLE_LENGTH
        thrust = (force + pole_moment * state.angular_velocity**2 * sine) / TOTAL_MASS
        angular_acceleration = (GRAVITY * sine - cosine * thrust) / (
            HALF_POLE_LENGTH * (4.0 / 3.0 - POLE_MASS * cosine**2 / TOTAL_MASS)
        )
        acceleration = thrust - pole_moment * angular_acceleration * cosine / TOTAL_MASS
        state = CartPoleState(
            position=state.position + SECONDS_PER_STEP * state.velocity,
            velocity=state.velocity + SECONDS_PER_STEP * acceleration,
            angle=state.angle + SECONDS_PER_STEP * state.angular_velocity,
            angular_velocity=state.angular_velocity + SECONDS_PER_STEP * angular_acceleration,
            num_steps=state.num_steps + 1,
        )
        has_fallen = jnp.abs(state.angle) > ANGLE_LIMIT
        has_left = jnp.abs(state.position) > POSITION_LIMIT
        is_over = state.num_steps >= MAX_EPISODE_STEPS
        return state, Timestep(
            observations=_observe(state),
            reward=jnp.float32(1),
            is_terminated=has_fallen | has_left,
            is_truncated=is_over,
            terminations={"fallen": has_fallen, "left_track": has_left, "time_out": is_over},
        )


def _observe(state: CartPoleState) -> dict[str, Array]:
    values = [state.position, state.velocity, state.angle, state.angular_velocity]
    return {"state": jnp.stack(values)}
