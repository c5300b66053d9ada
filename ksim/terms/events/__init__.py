"""Events: what happens to the robot from outside."""

from ksim.terms.events.base import Event
from ksim.terms.events.push import PushEvent

__all__ = ["Event", "PushEvent"]
