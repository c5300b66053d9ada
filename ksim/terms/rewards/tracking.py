"""Rewards for moving as commanded."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from ksim.physics import MovingFrame, PhysicsModel
from ksim.physics.rotation import heading_of, rotate, rotate_inverse
from ksim.terms.parts.checks import check_positive
from ksim.terms.parts.command_values import read_command
from ksim.terms.parts.lookup import find_frame
from ksim.terms.rewards.base import Reward, squared_exponential
from ksim.terms.term import Carry, StepState


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinearVelocityTrackingReward(Reward):
    """Rewards walking at the commanded velocity.

    r = exp(-|v_xy - command|^2 / sigma^2), with v the base's velocity in the heading frame: the
    robot's frame without tilt.

    Attributes:
      base: the free joint of the base, or the body in its place.
      command: name of a command `[2]`, m/s.
      sigma: kernel width, m/s, > 0.

    Reference:
      Rudin et al. 2022, "Learning to Walk in Minutes Using Massively Parallel Deep Reinforcement
      Learning", arXiv:2109.11978, reward terms of the appendix.
    """

    base: MovingFrame
    command: str = "linear_velocity"
    sigma: float = 0.5

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        body: str | None = None,
        *,
        command: str = "linear_velocity",
        sigma: float = 0.5,
        scale: float = 1.0,
    ) -> "LinearVelocityTrackingReward":
        """Finds the body by its name; the other arguments are the attributes.

        By default it is the floating base.

        Raises:
          KeyError: if there is no such body.
          ValueError: if there is no floating base to default to, or `sigma` is not positive.
        """
        base = find_frame(model, body, cls.__name__)
        return cls(base=base, command=command, sigma=sigma, scale=scale)

    def __post_init__(self) -> None:
        check_positive(self, "sigma", 0.5)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the reward, in (0, 1]."""
        heading = heading_of(self.base.orientation(state.physics))
        velocity = rotate_inverse(heading, self.base.linear_velocity(state.physics))
        error = velocity[:2] - read_command(state, self.command, type(self).__name__, size=2)
        return squared_exponential(jnp.sum(error**2), self.sigma), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class AngularVelocityTrackingReward(Reward):
    """Rewards turning at the commanded rate.

    r = exp(-(omega_z - command)^2 / sigma^2), with omega_z the base's rate of turn about the
    world's vertical axis.

    Attributes:
      base: the free joint of the base, or the body in its place.
      command: name of a command `[1]`, rad/s.
      sigma: kernel width, rad/s, > 0.

    Reference:
      Rudin et al. 2022, arXiv:2109.11978, reward terms of the appendix.
    """

    base: MovingFrame
    command: str = "angular_velocity"
    sigma: float = 0.5

    @classmethod
    def create(
        cls,
        model: PhysicsModel,
        body: str | None = None,
        *,
        command: str = "angular_velocity",
        sigma: float = 0.5,
        scale: float = 1.0,
    ) -> "AngularVelocityTrackingReward":
        """Finds the body; see `LinearVelocityTrackingReward.create`."""
        base = find_frame(model, body, cls.__name__)
        return cls(base=base, command=command, sigma=sigma, scale=scale)

    def __post_init__(self) -> None:
        check_positive(self, "sigma", 0.5)

    def __call__(self, state: StepState, carry: Carry) -> tuple[Float[Array, ""], Carry]:
        """Returns the reward, in (0, 1]."""
        orientation = self.base.orientation(state.physics)
        yaw_rate = rotate(orientation, self.base.angular_velocity(state.physics))[2:]
        error = yaw_rate - read_command(state, self.command, type(self).__name__, size=1)
        return squared_exponential(jnp.sum(error**2), self.sigma), carry
