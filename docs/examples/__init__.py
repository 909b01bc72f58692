"""Programs against the package, each run by a test in ``tests/examples``."""
