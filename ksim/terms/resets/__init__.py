"""Resets: the state in which an episode begins."""
