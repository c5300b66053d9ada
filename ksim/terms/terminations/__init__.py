"""Terminations: why an episode ends."""
