"""Waiting: for one session, for thousands, and the reads and the budget they share."""
