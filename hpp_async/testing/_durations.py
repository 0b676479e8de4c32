"""The seconds that scripts and faults may speak of: those that a date can be moved by."""

from __future__ import annotations

from datetime import timedelta

from hpp_async._exceptions import ConfigurationError
from hpp_async._schedule import seconds

_MOST = 1e9  # some thirty years


def duration(value: float | timedelta, name: str, *, at_least: float = 0.0) -> float:
    """
    Return *value*, seconds or a `timedelta`, as seconds; *name* is what the message calls it.

    Raises:
        ConfigurationError: not a number of seconds, below *at_least*, or longer than 1e9 seconds.
    """
    found = seconds(value, name, at_least=at_least)
    if not found <= _MOST:
        raise ConfigurationError(f"{name}={found:g}: give at most {_MOST:g} seconds")
    return found
