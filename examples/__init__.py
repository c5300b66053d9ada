"""Examples: each is one file to read from top to bottom."""
