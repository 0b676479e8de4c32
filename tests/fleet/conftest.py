"""Gives every test of the fleet its fixtures."""

from postgres import database
from stores import anyio_backend, opened, store

__all__ = ["anyio_backend", "database", "opened", "store"]
