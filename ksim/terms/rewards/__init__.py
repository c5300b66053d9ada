"""Rewards: what is worth doing, and what it costs."""
