"""Benchmarks behind the claims about performance."""
