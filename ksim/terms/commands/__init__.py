"""Commands: what the robot is told to do."""
