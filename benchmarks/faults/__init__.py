"""Faults on purpose: killed processes, full disks, NaN, and a hundred thousand steps; each module is one command."""
