"""The devices of a run: which, simulated or not, and their memory."""
