"""brax's humanoid as a ksim task: the same MJCF, physics, observations, rewards and terminations.

The MJCF is read from the installed brax package; nothing of it is kept here. A step computes what
brax's own environment computes, so that both spend their time on the same work.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
from jaxtyping import Array, Bool, Float, Key

import ksim

TORSO = 1
NOISE = 0.01


@dataclasses.dataclass
class BraxHumanoidConfig(ksim.DistributedPPOConfig):
    """brax's humanoid."""

    mjcf: str = ksim.option("", help="Path of brax's humanoid.xml.")
    dt: float = 0.003
    ctrl_dt: float = 0.015
    iterations: int | None = 1
    ls_iterations: int | None = 4
    num_envs: int = 128
    batch_size: int = 32
    rollout_length_frames: int | None = 20
    num_passes: int = 4
    gamma: float = 0.97
    entropy_coef: float = 1e-3
    learning_rate: float = 3e-4
    activation: str = "silu"
    action_distribution: str = "tanh_normal"


@dataclasses.dataclass(frozen=True)
class RangeActuators(ksim.Actuators):
    """Maps actions in [-1, 1] onto the control ranges of all actuators."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @property
    def ctrl_ids(self) -> tuple[int, ...]:
        """All actuators."""
        return tuple(range(len(self.lower)))

    def __call__(
        self,
        action: Float[Array, "action_size"],
        physics: ksim.PhysicsData,
        carry: ksim.Carry,
        key: Key[Array, ""],
    ) -> tuple[Float[Array, "controls"], ksim.Carry]:
        """Returns the controls."""
        lower, upper = jnp.array(self.lower), jnp.array(self.upper)
        return (action + 1) * (upper - lower) * 0.5 + lower, carry


@dataclasses.dataclass(frozen=True)
class BodiesObservation(ksim.Observation):
    """Positions, velocities, inertias and motions of all bodies about the centre of mass."""

    masses: tuple[float, ...]
    inertias: tuple[tuple[float, ...], ...]

    def __call__(
        self, state: ksim.StepState, carry: ksim.Carry, key: Key[Array, ""]
    ) -> tuple[Float[Array, "size"], ksim.Carry]:
        """Returns the observation of brax's humanoid."""
        physics, masses = state.physics, jnp.array(self.masses)[:, None]
        com = physics.subtree_com[0]
        offset = physics.xipos[1:] - com[None]
        axes = physics.ximat[1:]
        about_own = jnp.einsum("bij,bj,bkj->bik", axes, jnp.array(self.inertias), axes)
        squared = jnp.sum(offset**2, axis=1)[:, None, None] * jnp.eye(3)[None]
        parallel = masses[:, :, None] * (squared - offset[:, :, None] * offset[:, None, :])
        inertia = jnp.concatenate([(about_own + parallel).reshape(-1, 9), masses], axis=1)
        angular, linear = physics.cvel[1:, :3], physics.cvel[1:, 3:]
        linear = linear + jnp.cross(angular, offset)
        motion = jnp.concatenate([masses * linear / jnp.sum(masses), angular], axis=1)
        parts = (
            physics.qpos[2:],
            physics.qvel,
            inertia.ravel(),
            motion.ravel(),
            physics.qfrc_actuator,
        )
        return jnp.concatenate(parts), carry


@dataclasses.dataclass(frozen=True)
class ForwardReward(ksim.Reward):
    """Forward velocity of the centre of mass, by differences, m/s."""

    ctrl_dt: float

    def init(self, key: Key[Array, ""]) -> Float[Array, ""]:
        """Returns the last position of the centre of mass: NaN, since it is unknown at first."""
        return jnp.float32(jnp.nan)

    def __call__(
        self, state: ksim.StepState, carry: ksim.Carry
    ) -> tuple[Float[Array, ""], ksim.Carry]:
        """Returns the velocity over the last step."""
        x = state.physics.subtree_com[0, 0]
        return jnp.where(jnp.isnan(carry), 0.0, (x - carry) / self.ctrl_dt), x


@dataclasses.dataclass(frozen=True)
class ControlCost(ksim.Reward):
    """Sum of squared controls."""

    def __call__(
        self, state: ksim.StepState, carry: ksim.Carry
    ) -> tuple[Float[Array, ""], ksim.Carry]:
        """Returns the sum."""
        return jnp.sum(state.physics.ctrl**2), carry


@dataclasses.dataclass(frozen=True)
class HeightTermination(ksim.Termination):
    """Ends an episode when the torso is below 1 m or above 2 m."""

    def __call__(
        self, state: ksim.StepState, carry: ksim.Carry
    ) -> tuple[Bool[Array, ""], ksim.Carry]:
        """Returns whether the torso is out of bounds."""
        height = state.physics.xpos[TORSO, 2]
        return (height < 1.0) | (height > 2.0), carry


@dataclasses.dataclass(frozen=True)
class NoiseReset(ksim.Reset):
    """Adds uniform noise to every position and velocity."""

    def __call__(
        self,
        start: ksim.EpisodeStart,
        level: Float[Array, ""],
        carry: ksim.Carry,
        key: Key[Array, ""],
    ) -> tuple[ksim.EpisodeStart, ksim.Carry]:
        """Returns the noisy start."""
        position_key, velocity_key = jax.random.split(key)
        qpos, qvel = jnp.asarray(start.qpos), jnp.asarray(start.qvel)
        noise = jax.random.uniform(position_key, qpos.shape, minval=-NOISE, maxval=NOISE)
        velocity = jax.random.uniform(velocity_key, qvel.shape, minval=-NOISE, maxval=NOISE)
        return ksim.EpisodeStart(qpos=qpos + noise, qvel=velocity), carry


class BraxHumanoidTask(ksim.DistributedPPOTask[BraxHumanoidConfig]):
    """Run forward."""

    def get_mujoco_model(self) -> mujoco.MjModel:
        """Returns brax's humanoid as brax prepares it: without bodies that cannot move."""
        spec = mujoco.MjSpec.from_file(self.config.mjcf)
        spec.compiler.fusestatic = True
        mj_model = spec.compile()
        mj_model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
        mj_model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
        return mj_model

    def get_actuators(self, physics_model: ksim.PhysicsModel) -> ksim.Actuators:
        """Returns motors whose range is the action's."""
        lower, upper = physics_model.mj_model.actuator_ctrlrange.T
        return RangeActuators(tuple(map(float, lower)), tuple(map(float, upper)))

    def get_observations(self, physics_model: ksim.PhysicsModel) -> list[ksim.Observation]:
        """Returns one observation of everything."""
        mj_model = physics_model.mj_model
        inertias = tuple(tuple(map(float, row)) for row in mj_model.body_inertia[1:])
        return [BodiesObservation(tuple(map(float, mj_model.body_mass[1:])), inertias)]

    def get_rewards(self, physics_model: ksim.PhysicsModel) -> list[ksim.Reward]:
        """Returns the three terms of brax's reward."""
        return [
            ForwardReward(ctrl_dt=physics_model.ctrl_dt, scale=1.25),
            ksim.AliveReward(scale=5.0),
            ControlCost(scale=-0.1),
        ]

    def get_terminations(self, physics_model: ksim.PhysicsModel) -> list[ksim.Termination]:
        """Returns the ends of an episode: a fall, or 1000 steps."""
        return [HeightTermination(), ksim.TimeOutTermination(1000 * physics_model.ctrl_dt)]

    def get_resets(self, physics_model: ksim.PhysicsModel) -> list[ksim.Reset]:
        """Returns a noisy start."""
        return [NoiseReset()]


def brax_humanoid_mjcf(brax_python: Path) -> Path:
    """Returns brax's own humanoid MJCF within its environment."""
    [path] = brax_python.parent.parent.glob(
        "lib/python*/site-packages/brax/envs/assets/humanoid.xml"
    )
    return path
