"""Conformance suites to run on implementations of ksim's contracts."""

from ksim.testing.environment import check_environment

__all__ = ["check_environment"]
