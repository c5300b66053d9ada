"""Randomizers: physical properties that differ from episode to episode."""
