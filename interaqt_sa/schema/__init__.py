"""Compile definitions into tables and mapped classes, check computations, and inspect the result."""
