"""Trials before a run: its memory, its speed, its number of environments."""
