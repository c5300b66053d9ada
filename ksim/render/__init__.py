"""Looking at a run: heavy imports stay inside functions."""
