"""Conformance suites to run on implementations of ksim's contracts."""

from ksim.testing.environment import check_environment
from ksim.testing.term import check_term

__all__ = ["check_environment", "check_term"]
