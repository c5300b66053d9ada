"""Conformance suites to run on implementations of ksim's contracts."""

from ksim.testing.algorithm import check_algorithm
from ksim.testing.engine import check_engine
from ksim.testing.environment import check_environment
from ksim.testing.term import check_term

__all__ = ["check_algorithm", "check_engine", "check_environment", "check_term"]
