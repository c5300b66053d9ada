"""A robot in MuJoCo: an engine, and terms that make up the task."""
