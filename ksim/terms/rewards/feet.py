"""Rewards for the motion of the feet."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ksim.physics import PhysicsModel, check_names
from ksim.terms.parts.checks import check_not_negative, check_positive
from ksim.terms.parts.command_values import is_told_to_move
from ksim.terms.parts.feet import Feet, FeetNames
from ksim.terms.parts.lookup import Names
from ksim.terms.rewards.base import Reward
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeetAirTimeReward(Reward):
    """Rewards long steps: pays for a foot's time in the air when the foot lands.

    r = sum over landing feet of min(t_air, max_air_time) - min_air_time; shorter steps than
    `min_air_time` cost. Nothing is paid while the robot is told to stand, nor for the first landing
    of an episode, which may begin in the air. The memory is the time since each foot left the
    ground, s; -1 before it has stood.

    Attributes:
      feet: the feet.
      ctrl_dt: control time step, s.
      min_air_time: a step of this time in the air pays nothing, s, >= 0.
      max_air_time: longer times in the air pay no more, s, above `min_air_time`.
      commands: names of commands; without one above 0.1 the robot is told to stand. With no names
        landings always pay.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    feet: Feet
    ctrl_dt: float
    min_air_time: float = 0.2
    max_air_time: float = 0.5
    commands: tuple[str, ...] = ("linear_velocity",)

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        *,
        min_air_time: float = 0.2,
        max_air_time: float = 0.5,
        commands: Names = ("linear_velocity",),
        min_contact_force: float = 1.0,
        scale: float = 1.0,
    ) -> "FeetAirTimeReward":
        """Finds the feet. Arguments are the attributes, and names instead of ids.

        For `feet` and `min_contact_force` see `Feet.create`.

        Raises:
          KeyError: if there is no such site or sensor.
          ValueError: if a foot has no sensor, or a number is out of bounds.
        """
        return cls(
            feet=Feet.create(model, feet, cls.__name__, min_contact_force),
            ctrl_dt=model.ctrl_dt,
            min_air_time=min_air_time,
            max_air_time=max_air_time,
            commands=check_names(commands, "command", cls.__name__),
            scale=scale,
        )

    def __post_init__(self) -> None:
        check_not_negative(self, "min_air_time", 0.2)
        check_positive(self, "max_air_time", 0.5)
        if self.max_air_time <= self.min_air_time:
            raise ValueError(
                f"{type(self).__name__}: max_air_time ({self.max_air_time:g} s) must be above"
                f" min_air_time ({self.min_air_time:g} s)."
                f" Write max_air_time={self.min_air_time + 0.3:g}, for instance."
            )

    def init(self, key: Key[Array, ""]) -> Float[Array, "feet"]:
        """Returns a memory of feet that have not stood yet."""
        del key
        return -jnp.ones(len(self.feet))

    def __call__(
        self, state: StepState, carry: Float[Array, "feet"]
    ) -> tuple[Float[Array, ""], Float[Array, "feet"]]:
        """Returns the pay, s; in [-min_air_time, max_air_time - min_air_time] for each foot."""
        is_in_contact = self.feet.is_in_contact(state.physics)
        is_landing = is_in_contact & (carry > 0.0)
        pay = jnp.minimum(carry, self.max_air_time) - self.min_air_time
        value = jnp.sum(jnp.where(is_landing, pay, 0.0))
        is_moving = is_told_to_move(state, self.commands, type(self).__name__)
        flying_on = jnp.where(carry < 0.0, carry, carry + self.ctrl_dt)
        air_time = jnp.where(is_in_contact, 0.0, flying_on)
        return jnp.where(is_moving, value, 0.0), air_time


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeetSlipReward(Reward):
    """Measures the sliding of feet that stand; a penalty by its default scale of -0.1.

    r = sum over feet in contact of |v_xy|^2, with v the velocity of the foot's site.

    Attributes:
      feet: the feet.
    """

    feet: Feet
    scale: float = -0.1

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        *,
        min_contact_force: float = 1.0,
        scale: float = -0.1,
    ) -> "FeetSlipReward":
        """Finds the feet; for `feet` and `min_contact_force` see `Feet.create`.

        Raises:
          KeyError: if there is no such site or sensor.
          ValueError: if a foot has no sensor, or the force is not positive.
        """
        return cls(feet=Feet.create(model, feet, cls.__name__, min_contact_force), scale=scale)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the sum, m^2/s^2, >= 0."""
        squared_speeds = jnp.sum(self.feet.velocities(state.physics)[:, :2] ** 2, axis=1)
        is_in_contact = self.feet.is_in_contact(state.physics)
        return jnp.sum(jnp.where(is_in_contact, squared_speeds, 0.0)), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeetClearanceReward(Reward):
    """Measures the distance of swinging feet from a height; a penalty by its default scale of -2.

    r = sum over feet not in contact of |z - height| |v_xy|^(1/2), with z the height of the foot's
    site above the world's origin and v its velocity: a foot should be high where it is fast, and
    may be low where it lifts off and lands.

    Attributes:
      feet: the feet.
      height: the wanted height of the feet's sites in swing, above the world's origin, m, > 0; it
        includes the height of the site while the foot stands.

    Reference:
      Zakka et al. 2025, arXiv:2502.08844 (MuJoCo Playground), there over all feet.
    """

    feet: Feet
    height: float
    scale: float = -2.0

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        feet: FeetNames,
        *,
        height: float,
        min_contact_force: float = 1.0,
        scale: float = -2.0,
    ) -> "FeetClearanceReward":
        """Finds the feet. Arguments are the attributes, and names instead of ids.

        For `feet` and `min_contact_force` see `Feet.create`.

        Raises:
          KeyError: if there is no such site or sensor.
          ValueError: if a foot has no sensor, or a number is not positive.
        """
        found = Feet.create(model, feet, cls.__name__, min_contact_force)
        return cls(feet=found, height=height, scale=scale)

    def __post_init__(self) -> None:
        check_positive(self, "height", 0.1)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the sum, m^(3/2)/s^(1/2), >= 0."""
        heights = state.physics.site_xpos[np.array(self.feet.site_ids), 2]
        speeds = jnp.linalg.norm(self.feet.velocities(state.physics)[:, :2], axis=1)
        errors = jnp.abs(heights - self.height) * jnp.sqrt(speeds)
        is_swinging = ~self.feet.is_in_contact(state.physics)
        return jnp.sum(jnp.where(is_swinging, errors, 0.0)), carry
