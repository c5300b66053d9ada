"""Shows runs as windows, films and curves; heavy imports stay inside functions."""
