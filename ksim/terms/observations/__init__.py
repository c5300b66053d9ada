"""Observations: what the policy and the critic see."""

from ksim.terms.observations.base import NoisyObservation, Observation
from ksim.terms.observations.base_motion import (
    BaseAngularVelocityObservation,
    BaseHeightObservation,
    BaseLinearVelocityObservation,
    BaseOrientationObservation,
)
from ksim.terms.observations.feet import FeetContactObservation, FeetPositionObservation
from ksim.terms.observations.joints import JointPositionObservation, JointVelocityObservation
from ksim.terms.observations.noise import GaussianNoise, Noise, UniformNoise
from ksim.terms.observations.sensors import (
    ActuatorForceObservation,
    GyroObservation,
    ProjectedGravityObservation,
    SensorObservation,
)
from ksim.terms.observations.task import (
    CommandObservation,
    LastActionObservation,
    PhaseObservation,
)

__all__ = [
    "ActuatorForceObservation",
    "BaseAngularVelocityObservation",
    "BaseHeightObservation",
    "BaseLinearVelocityObservation",
    "BaseOrientationObservation",
    "CommandObservation",
    "FeetContactObservation",
    "FeetPositionObservation",
    "GaussianNoise",
    "GyroObservation",
    "JointPositionObservation",
    "JointVelocityObservation",
    "LastActionObservation",
    "Noise",
    "NoisyObservation",
    "Observation",
    "PhaseObservation",
    "ProjectedGravityObservation",
    "SensorObservation",
    "UniformNoise",
]
