"""A humanoid learns to walk as it is told.

    python -m examples.walking
    python -m examples.walking num_envs=8 batch_size=4 max_steps=10

One file, top to bottom: the options, the robot, what it senses, what it is told, what it is paid
for, when it has failed, and what makes its life harder. `examples.walking_distributed` runs the
same task on several devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ksim

if TYPE_CHECKING:
    import mujoco

FEET = ("left_foot", "right_foot")

# Gains of the joints' servos: N m/rad and N m s/rad. An action of 1 moves the target by 0.1 rad.
KP = {
    "waist_yaw": 300.0,
    "waist_*": 400.0,
    "*_hip_yaw": 200.0,
    "*_hip_*": 450.0,
    "*_knee": 600.0,
    "*_ankle_pitch": 900.0,
    "*_ankle_roll": 250.0,
    "*_shoulder_*": 80.0,
    "*_elbow": 50.0,
}
KD = {
    "waist_yaw": 15.0,
    "waist_*": 20.0,
    "*_hip_yaw": 10.0,
    "*_hip_*": 20.0,
    "*_knee": 25.0,
    "*_ankle_pitch": 18.0,
    "*_ankle_roll": 8.0,
    "*_shoulder_*": 4.0,
    "*_elbow": 2.5,
}

# Displacements of a leg's joints from standing, in the middle of its swing, rad: hip and knee bend,
# and the foot stays level.
SWINGS = tuple(
    {f"{side}_hip_pitch": 0.4, f"{side}_knee": 0.65, f"{side}_ankle_pitch": 0.25}
    for side in ("left", "right")
)
STRIDE_PERIOD = 0.8  # s, two steps
COMMAND_RATE = 1.0  # m/s^2 and rad/s^2: told to walk at once, it learns to lunge, and falls

# Only the critic sees what a real robot cannot sense.
ACTOR_OBSERVATIONS = (
    "joint_position",
    "joint_velocity",
    "projected_gravity",
    "gyro",
    "last_action",
    "linear_velocity_command",
    "angular_velocity_command",
    "phase",
)


@dataclass
class HumanoidWalkingConfig(ksim.PPOConfig):
    """Walking."""

    max_steps: int | None = 4000
    num_envs: int = 128
    batch_size: int = 64
    rollout_length_seconds: float = 0.4
    num_passes: int = 4
    gamma: float = 0.97
    iterations: int | None = 4
    ls_iterations: int | None = 4
    entropy_coef: float = 0.0
    reward_scaling: float = 0.1
    learning_rate_schedule: str = "adaptive_linear"
    learning_rate: float = 1e-3
    target_kl: float = 0.02
    init_std: float = 1.0
    hidden_sizes: tuple[int, ...] = (256, 256)
    matmul_precision: str = "auto"
    episode_seconds: float = ksim.option(
        10.0, help="Length after which an episode times out.", unit="s", above=0
    )
    max_forward_velocity: float = ksim.option(
        1.2, help="Fastest forward walk that is commanded.", unit="m/s", minimum=0
    )
    max_push: float = ksim.option(
        0.3, help="Largest sudden change of velocity by a push.", unit="m/s", minimum=0
    )


class HumanoidWalkingTask(ksim.PPOTask[HumanoidWalkingConfig]):
    """Walk with the commanded velocity, upright, gently, in spite of pushes."""

    def get_mujoco_model(self) -> mujoco.MjModel:
        """Returns the humanoid that comes with ksim."""
        return ksim.load_mjcf(ksim.asset_path("humanoid.xml"))

    def get_actuators(self, physics_model: ksim.PhysicsModel) -> ksim.Actuators:
        """Returns position servos about the standing pose."""
        return ksim.PositionActuators.create(
            physics_model, kp=KP, kd=KD, action_scale=0.1, default_positions="stand"
        )

    def get_observations(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Observation]:
        """Returns noisy senses for the actor, and exact ones for the critic."""
        noise = ksim.UniformNoise
        return {
            "joint_position": ksim.JointPositionObservation.create(
                physics_model, default_positions="stand", noise=noise(0.01)
            ),
            "joint_velocity": ksim.JointVelocityObservation.create(physics_model, noise=noise(0.5)),
            "projected_gravity": ksim.ProjectedGravityObservation.create(
                physics_model, noise=noise(0.03)
            ),
            "gyro": ksim.GyroObservation.create(physics_model, "imu_gyro", noise=noise(0.1)),
            "last_action": ksim.LastActionObservation(),
            "linear_velocity_command": ksim.CommandObservation("linear_velocity"),
            "angular_velocity_command": ksim.CommandObservation("angular_velocity"),
            "phase": ksim.PhaseObservation(period=STRIDE_PERIOD),
            "base_linear_velocity": ksim.BaseLinearVelocityObservation.create(physics_model),
            "base_height": ksim.BaseHeightObservation.create(physics_model),
            "feet_contact": ksim.FeetContactObservation.create(physics_model, FEET),
            "feet_position": ksim.FeetPositionObservation.create(physics_model, FEET),
            "actuator_force": ksim.ActuatorForceObservation.create(physics_model),
        }

    def get_commands(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Command]:
        """Returns velocities to walk with, drawn again every few seconds."""
        return {
            "linear_velocity": ksim.LinearVelocityCommand.create(
                physics_model,
                x_range=(0.0, self.config.max_forward_velocity),
                y_range=(-0.2, 0.2),
                is_scaled_by_level=True,
                max_rate=COMMAND_RATE,
            ),
            "angular_velocity": ksim.AngularVelocityCommand.create(
                physics_model,
                yaw_range=(-0.5, 0.5),
                is_scaled_by_level=True,
                max_rate=COMMAND_RATE,
            ),
        }

    def get_rewards(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Reward]:
        """Returns rewards (positive scales) and penalties (negative ones)."""
        swinging = {joint for leg in SWINGS for joint in leg}
        others = [joint for joint in physics_model.joints.names if joint not in swinging]
        return {
            "linear_velocity": ksim.LinearVelocityTrackingReward.create(
                physics_model, sigma=0.25, scale=2.0
            ),
            "angular_velocity": ksim.AngularVelocityTrackingReward.create(physics_model, scale=0.5),
            "alive": ksim.AliveReward(scale=0.5),
            "upright": ksim.UprightReward.create(physics_model, scale=0.5),
            "gait": ksim.GaitPhaseReward.create(
                physics_model, FEET, period=STRIDE_PERIOD, scale=1.0
            ),
            # Without it the robot learns to stand, which pays at once, and seldom how to step.
            "swing": ksim.GaitPoseReward.create(
                physics_model,
                SWINGS,
                default_positions="stand",
                period=STRIDE_PERIOD,
                sigma=0.5,
                scale=2.0,
            ),
            "feet_slip": ksim.FeetSlipReward.create(physics_model, FEET, scale=-0.1),
            "vertical_velocity": ksim.VerticalVelocityReward.create(physics_model, scale=-0.5),
            "sway": ksim.AngularVelocityXYReward.create(physics_model, scale=-0.05),
            "posture": ksim.JointDeviationReward.create(
                physics_model, others, default_positions="stand", scale=-0.1
            ),
            "joint_limit": ksim.JointLimitReward.create(physics_model, scale=-1.0),
            "action_rate": ksim.ActionRateReward(scale=-0.005),
            "torque": ksim.TorqueReward.create(physics_model, scale=-2e-6),
            "energy": ksim.EnergyReward.create(physics_model, scale=-1e-4),
        }

    def get_terminations(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Termination]:
        """Returns the ends of an episode: a fall, a broken simulation, the time-out."""
        return {
            "fallen": ksim.FallenTermination.create(physics_model, min_height=0.6),
            "bad_velocity": ksim.BadVelocityTermination(max_velocity=100.0),
            "time_out": ksim.TimeOutTermination(self.config.episode_seconds),
        }

    def get_resets(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Reset]:
        """Returns a standing start, a little different every time."""
        return {
            "stand": ksim.KeyframeReset.create(physics_model, "stand"),
            "joint_position": ksim.JointPositionReset.create(
                physics_model, offset_range=(-0.05, 0.05)
            ),
            "joint_velocity": ksim.JointVelocityReset.create(
                physics_model, velocity_range=(-0.1, 0.1)
            ),
            "heading": ksim.HeadingReset.create(physics_model),
            "height": ksim.HeightReset.create(physics_model, height_range=(0.0, 0.02)),
        }

    def get_events(self, physics_model: ksim.PhysicsModel) -> dict[str, ksim.Event]:
        """Returns a push every few seconds, harder as the level rises."""
        return {
            "push": ksim.PushEvent.create(
                physics_model, max_speed=self.config.max_push, is_scaled_by_level=True
            )
        }

    def get_physics_randomizers(
        self, physics_model: ksim.PhysicsModel
    ) -> dict[str, ksim.Randomizer]:
        """Returns differences between episodes, so that the policy does not rely on one model."""
        return {
            "friction": ksim.FrictionRandomizer.create(physics_model, scale_range=(0.6, 1.2)),
            "mass": ksim.MassRandomizer.create(physics_model, scale_range=(0.95, 1.05)),
            "armature": ksim.ArmatureRandomizer.create(physics_model, scale_range=(0.95, 1.05)),
            "damping": ksim.DampingRandomizer.create(physics_model, scale_range=(0.9, 1.1)),
        }

    def get_curriculum(self, physics_model: ksim.PhysicsModel | None) -> ksim.Curriculum:
        """Returns harder commands and pushes once episodes last long enough."""
        return ksim.EpisodeLengthCurriculum(
            raise_above_seconds=7.0, lower_below_seconds=3.5, step=0.02
        )

    def get_model(self, environment: ksim.Environment) -> ksim.ModelDefinition:
        """Returns an actor that sees what a robot senses, and a critic that sees everything."""
        return ksim.default_model(environment, self.config, actor_observations=ACTOR_OBSERVATIONS)


if __name__ == "__main__":
    HumanoidWalkingTask.launch(HumanoidWalkingConfig())
