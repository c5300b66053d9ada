"""Events: what happens to the robot from outside."""
