"""Measurements behind every figure in README and docs; each module is one command, ``python -m benchmarks.NAME``."""
