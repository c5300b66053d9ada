"""Actuators: from the policy's action to MuJoCo's controls."""

from ksim.terms.actuators.base import Actuators
from ksim.terms.actuators.model import ModelActuators
from ksim.terms.actuators.position import PositionActuators
from ksim.terms.actuators.torque import TorqueActuators

__all__ = ["Actuators", "ModelActuators", "PositionActuators", "TorqueActuators"]
