"""Contract suites: a new format, layer or integrator says how to make one and inherits every test."""
