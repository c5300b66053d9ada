"""Randomizers: physical properties that differ from episode to episode."""

from ksim.terms.randomizers.base import Randomizer
from ksim.terms.randomizers.friction import FrictionRandomizer
from ksim.terms.randomizers.joints import ArmatureRandomizer, DampingRandomizer
from ksim.terms.randomizers.mass import MassRandomizer

__all__ = [
    "ArmatureRandomizer",
    "DampingRandomizer",
    "FrictionRandomizer",
    "MassRandomizer",
    "Randomizer",
]
