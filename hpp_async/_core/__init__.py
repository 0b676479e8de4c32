"""Decisions as values: the standard library and attrs only; no I/O, no clock, no randomness."""
