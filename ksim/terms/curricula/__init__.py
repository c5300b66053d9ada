"""Curricula: how hard the task is."""
