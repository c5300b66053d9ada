"""Starts a task in several processes of this machine: `python -m ksim.launch --help`."""

from ksim.launch.command import LaunchPlan, parse_launch
from ksim.launch.restarts import launch

__all__ = ["LaunchPlan", "launch", "parse_launch"]
