"""What holds for every term among the public names."""

import inspect
import math

import pytest

import ksim
from ksim.testing import check_term

FEET = ("left_foot", "right_foot")
INF = math.inf

# Every term, as built from the biped, and the range that its documentation promises.
TERMS = {
    "PositionActuators": (
        lambda model: ksim.PositionActuators.create(model, kp=50.0, kd=2.0),
        (-1.5, 1.0),
    ),
    "ModelActuators": (
        lambda model: ksim.ModelActuators(
            control_ids=(0, 1, 2, 3), lower=(-80.0,) * 4, upper=(60.0,) * 4
        ),
        (-80.0, 60.0),
    ),
    "TorqueActuators": (ksim.TorqueActuators.create, (-80.0, 80.0)),
    "LinearVelocityCommand": (
        lambda model: ksim.LinearVelocityCommand.create(model, interval_range=(0.02, 0.04)),
        (-0.5, 1.0),
    ),
    "AngularVelocityCommand": (ksim.AngularVelocityCommand.create, (-0.5, 0.5)),
    "ConstantCurriculum": (lambda model: ksim.ConstantCurriculum(0.5), (0.0, 1.0)),
    "LinearCurriculum": (lambda model: ksim.LinearCurriculum(10), (0.0, 1.0)),
    "EpisodeLengthCurriculum": (
        lambda model: ksim.EpisodeLengthCurriculum(raise_above_seconds=2.0),
        (0.0, 1.0),
    ),
    "PushEvent": (
        lambda model: ksim.PushEvent.create(model, interval_range=(0.0, 0.04)),
        (-0.5, 0.5),
    ),
    "ActuatorForceObservation": (ksim.ActuatorForceObservation.create, (-80.0, 80.0)),
    "BaseAngularVelocityObservation": (ksim.BaseAngularVelocityObservation.create, (-INF, INF)),
    "BaseHeightObservation": (ksim.BaseHeightObservation.create, (-INF, INF)),
    "BaseLinearVelocityObservation": (ksim.BaseLinearVelocityObservation.create, (-INF, INF)),
    "BaseOrientationObservation": (ksim.BaseOrientationObservation.create, (-1.0, 1.0)),
    "CommandObservation": (
        lambda model: ksim.CommandObservation("linear_velocity"),
        (-INF, INF),
    ),
    "FeetContactObservation": (
        lambda model: ksim.FeetContactObservation.create(model, FEET),
        (0.0, 1.0),
    ),
    "FeetPositionObservation": (
        lambda model: ksim.FeetPositionObservation.create(model, FEET),
        (-1.0, 1.0),
    ),
    "GyroObservation": (
        lambda model: ksim.GyroObservation.create(model, "imu_gyro"),
        (-INF, INF),
    ),
    "JointPositionObservation": (
        lambda model: ksim.JointPositionObservation.create(
            model, default_positions="stand", noise=ksim.UniformNoise(0.1)
        ),
        (-INF, INF),
    ),
    "JointVelocityObservation": (
        lambda model: ksim.JointVelocityObservation.create(model, noise=ksim.GaussianNoise(0.1)),
        (-INF, INF),
    ),
    "LastActionObservation": (lambda model: ksim.LastActionObservation(), (-INF, INF)),
    "PhaseObservation": (lambda model: ksim.PhaseObservation(0.8), (-1.0, 1.0)),
    "ProjectedGravityObservation": (ksim.ProjectedGravityObservation.create, (-1.0, 1.0)),
    "SensorObservation": (
        lambda model: ksim.SensorObservation.create(model, "imu_orientation"),
        (-1.0, 1.0),
    ),
    "ActuatorGainRandomizer": (ksim.ActuatorGainRandomizer.create, (0.0, 1.2)),
    "ArmatureRandomizer": (ksim.ArmatureRandomizer.create, (0.0, 0.024)),
    "CenterOfMassRandomizer": (ksim.CenterOfMassRandomizer.create, (-0.4, 0.4)),
    "DampingRandomizer": (ksim.DampingRandomizer.create, (0.0, 2.4)),
    "FrictionRandomizer": (ksim.FrictionRandomizer.create, (0.0, 1.5)),
    "MassRandomizer": (ksim.MassRandomizer.create, (0.0, 1.2 * 20.0)),
    "BaseVelocityReset": (ksim.BaseVelocityReset.create, (-INF, INF)),
    "HeadingReset": (ksim.HeadingReset.create, (-INF, INF)),
    "HeightReset": (ksim.HeightReset.create, (-INF, INF)),
    "JointPositionReset": (ksim.JointPositionReset.create, (-INF, INF)),
    "JointVelocityReset": (ksim.JointVelocityReset.create, (-INF, INF)),
    "KeyframeReset": (lambda model: ksim.KeyframeReset.create(model, "stand"), (-INF, INF)),
    "PoseReset": (lambda model: ksim.PoseReset.create(model, {"*_knee": 0.4}), (-INF, INF)),
    "ActionRateReward": (lambda model: ksim.ActionRateReward(), (0.0, INF)),
    "AliveReward": (lambda model: ksim.AliveReward(), (1.0, 1.0)),
    "AngularVelocityTrackingReward": (ksim.AngularVelocityTrackingReward.create, (0.0, 1.0)),
    "AngularVelocityXYReward": (ksim.AngularVelocityXYReward.create, (0.0, INF)),
    "BaseHeightReward": (lambda model: ksim.BaseHeightReward.create(model, 1.0), (0.0, 1.0)),
    "ContactReward": (
        lambda model: ksim.ContactReward.create(model, ("left_touch", "right_touch")),
        (0.0, 2.0),
    ),
    "EnergyReward": (ksim.EnergyReward.create, (0.0, INF)),
    "FeetAirTimeReward": (
        lambda model: ksim.FeetAirTimeReward.create(model, FEET),
        (-0.4, 0.6),
    ),
    "FeetClearanceReward": (
        lambda model: ksim.FeetClearanceReward.create(model, FEET, height=0.1),
        (0.0, INF),
    ),
    "FeetSlipReward": (lambda model: ksim.FeetSlipReward.create(model, FEET), (0.0, INF)),
    "GaitPhaseReward": (lambda model: ksim.GaitPhaseReward.create(model, FEET), (0.0, 1.0)),
    "GaitPoseReward": (
        lambda model: ksim.GaitPoseReward.create(model, [{"left_knee": 0.6}]),
        (0.0, 1.0),
    ),
    "JointAccelerationReward": (ksim.JointAccelerationReward.create, (0.0, INF)),
    "JointDeviationReward": (ksim.JointDeviationReward.create, (0.0, INF)),
    "JointLimitReward": (ksim.JointLimitReward.create, (0.0, INF)),
    "LinearVelocityTrackingReward": (ksim.LinearVelocityTrackingReward.create, (0.0, 1.0)),
    "SingleStanceReward": (lambda model: ksim.SingleStanceReward.create(model, FEET), (0.0, 1.0)),
    "StandStillReward": (ksim.StandStillReward.create, (0.0, INF)),
    "TorqueReward": (ksim.TorqueReward.create, (0.0, INF)),
    "UprightReward": (ksim.UprightReward.create, (0.0, 1.0)),
    "VerticalVelocityReward": (ksim.VerticalVelocityReward.create, (0.0, INF)),
    "BadVelocityTermination": (lambda model: ksim.BadVelocityTermination(), (0, 1)),
    "ContactTermination": (
        lambda model: ksim.ContactTermination.create(model, ("left_touch",)),
        (0, 1),
    ),
    "FallenTermination": (
        lambda model: ksim.FallenTermination.create(model, min_height=1.0, max_tilt_deg=60.0),
        (0, 1),
    ),
    "TimeOutTermination": (lambda model: ksim.TimeOutTermination(0.05), (0, 1)),
}
COMMANDS = {"linear_velocity": 2, "angular_velocity": 1}


def test_the_suite_knows_every_term():
    public = [getattr(ksim, name) for name in ksim.__all__]
    classes = [item for item in public if inspect.isclass(item) and issubclass(item, ksim.Term)]
    final = {item.__name__ for item in classes if not inspect.isabstract(item)}
    assert final - {"Term"} == set(TERMS)


@pytest.mark.parametrize("name", TERMS)
def test_is_a_hashable_value(name, model):
    build, _ = TERMS[name]
    assert hash(build(model)) == hash(build(model))
    assert build(model) == build(model)


@pytest.mark.parametrize("name", TERMS)
def test_keeps_the_contract(name, model):
    build, value_range = TERMS[name]
    check_term(build(model), model, commands=COMMANDS, value_range=value_range)
