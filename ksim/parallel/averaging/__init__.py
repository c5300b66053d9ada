"""Averages over the devices of a run: their schedule, compression, traffic and speed."""
