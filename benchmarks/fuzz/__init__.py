"""Hostile and damaged inputs for everything in rankfold that reads bytes of others: ``python -m benchmarks.fuzz``."""
