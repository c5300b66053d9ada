"""The devices of a run: their choice, their simulation on a CPU, and their memory."""
