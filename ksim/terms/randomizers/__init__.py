"""Randomizers: physical properties that differ from episode to episode."""

from ksim.terms.randomizers.actuators import ActuatorGainRandomizer
from ksim.terms.randomizers.base import Randomizer
from ksim.terms.randomizers.center_of_mass import CenterOfMassRandomizer
from ksim.terms.randomizers.friction import FrictionRandomizer
from ksim.terms.randomizers.joints import ArmatureRandomizer, DampingRandomizer
from ksim.terms.randomizers.mass import MassRandomizer

__all__ = [
    "ActuatorGainRandomizer",
    "ArmatureRandomizer",
    "CenterOfMassRandomizer",
    "DampingRandomizer",
    "FrictionRandomizer",
    "MassRandomizer",
    "Randomizer",
]
