"""Commands: what the robot is told to do."""

from ksim.terms.commands.base import Command
from ksim.terms.commands.resampled import ResampledCommand
from ksim.terms.commands.velocity import AngularVelocityCommand, LinearVelocityCommand

__all__ = ["AngularVelocityCommand", "Command", "LinearVelocityCommand", "ResampledCommand"]
