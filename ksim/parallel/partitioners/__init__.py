"""Partitioners: run the per-device program on all devices of a run."""
