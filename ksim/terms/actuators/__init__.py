"""Actuators: from the policy's action to MuJoCo's controls."""
