"""Observations: what the policy and the critic see."""
