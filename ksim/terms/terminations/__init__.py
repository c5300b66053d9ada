"""Terminations: why an episode ends."""

from ksim.terms.terminations.bad_velocity import BadVelocityTermination
from ksim.terms.terminations.base import Termination
from ksim.terms.terminations.contact import ContactTermination
from ksim.terms.terminations.fallen import FallenTermination
from ksim.terms.terminations.time_out import TimeOutTermination

__all__ = [
    "BadVelocityTermination",
    "ContactTermination",
    "FallenTermination",
    "Termination",
    "TimeOutTermination",
]
