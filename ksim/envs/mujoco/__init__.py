"""A robot in MuJoCo: an engine, and terms that say what the task is."""
