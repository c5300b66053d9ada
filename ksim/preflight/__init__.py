"""What is tried before a run: whether it fits, how fast it is, how many environments pay."""
