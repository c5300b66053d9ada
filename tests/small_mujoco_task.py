"""A pole in MuJoCo: a task that compiles in seconds and has a term of every family."""

import dataclasses
from dataclasses import dataclass

import jax
import jax.numpy as jnp

import ksim


@dataclass
class SmallMujocoConfig(ksim.DistributedPPOConfig):
    """A pole, hanging or on a cart."""

    mjcf: str = "pendulum.xml"
    num_envs: int = 16
    batch_size: int = 8
    rollout_length_frames: int | None = 8
    num_passes: int = 2
    max_steps: int | None = 10
    dt: float = 0.01
    ctrl_dt: float = 0.02
    hidden_sizes: tuple[int, ...] = (16,)
    action_distribution: str = "tanh_normal"
    init_std: float = 0.5
    learning_rate: float = 1e-3
    eval_length_seconds: float = 0.16


@dataclasses.dataclass(frozen=True, kw_only=True)
class HingeAngleReward(ksim.Reward):
    """r = cos(angle)"""

    hinge: ksim.JointSelection

    def __call__(self, state, carry):
        return jnp.cos(self.hinge.positions(state.physics.qpos)[0]), carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class HingeAngleTermination(ksim.Termination):
    """|angle| > 0.1 rad, so little that some episodes end within a short test."""

    hinge: ksim.JointSelection

    def __call__(self, state, carry):
        return jnp.abs(self.hinge.positions(state.physics.qpos)[0]) > 0.1, carry


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindEvent(ksim.Event):
    """Pushes every joint a little before every step."""

    def __call__(self, state, carry, key):
        return 0.05 * jax.random.normal(key, state.physics.qvel.shape), carry


class SmallMujocoTask(ksim.DistributedPPOTask[SmallMujocoConfig]):
    """Keep a pole where it is, in wind, and be told something meanwhile."""

    def get_mujoco_model(self):
        return ksim.load_mjcf(ksim.asset_path(self.config.mjcf))

    def get_observations(self, physics_model):
        noise = ksim.UniformNoise(0.01)
        return {
            "position": ksim.JointPositionObservation.create(physics_model, noise=noise),
            "velocity": ksim.JointVelocityObservation.create(physics_model, noise=noise),
            "command": ksim.CommandObservation("turn"),
            "last_action": ksim.LastActionObservation(),
        }

    def get_commands(self, physics_model):
        command = ksim.AngularVelocityCommand.create(
            physics_model, interval_range=(0.05, 0.1), is_scaled_by_level=True
        )
        return {"turn": command}

    def get_rewards(self, physics_model):
        return {
            "angle": HingeAngleReward(hinge=physics_model.joints.select(("hinge",))),
            "action_rate": ksim.ActionRateReward(scale=-0.1),
        }

    def get_terminations(self, physics_model):
        return {
            "moved": HingeAngleTermination(hinge=physics_model.joints.select(("hinge",))),
            "time_out": ksim.TimeOutTermination(0.3),
        }

    def get_resets(self, physics_model):
        return [
            ksim.JointPositionReset.create(physics_model, offset_range=(-0.05, 0.05)),
            ksim.JointVelocityReset.create(physics_model, velocity_range=(-0.1, 0.1)),
        ]

    def get_events(self, physics_model):
        return [WindEvent()]

    def get_physics_randomizers(self, physics_model):
        return [ksim.MassRandomizer.create(physics_model)]

    def get_curriculum(self, physics_model):
        return ksim.LinearCurriculum(iterations=10)


if __name__ == "__main__":
    SmallMujocoTask.launch(SmallMujocoConfig())
