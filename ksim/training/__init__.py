"""The state of a run, the loop that advances it, and what is written down of it."""
