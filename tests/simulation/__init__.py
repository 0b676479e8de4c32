"""Deterministic simulation: a seed becomes a life, the real client lives it in virtual time, an oracle judges."""
