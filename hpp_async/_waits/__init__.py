"""Waits on one session and on thousands, and the reads and the budget that they share."""
