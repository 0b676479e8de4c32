"""The words that faults are told apart by: operations, and the forms of errors and of a 429."""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """What merchants ask for; and ``CALLBACK``, what the provider tells them of its own accord."""

    CREATE = "create"
    READ = "read"
    DISTRIBUTE = "distribute"
    DISABLE = "disable"
    CALLBACK = "callback"


class Envelope(StrEnum):
    """The forms in which errors come."""

    LEGACY = "legacy"
    """``{error_code, error_messages, correlation_id}``"""
    NETWORK = "network"
    """The Klarna Network's ``{error_id, error_type, error_code, error_message, doc_url}``"""
    HTML = "html"
    """A gateway's page."""
    TEXT = "text"
    """A proxy's line."""
    EMPTY = "empty"
    """No body."""


class Hint(StrEnum):
    """The forms in which a 429 says how long to stay away."""

    RESET = "reset"
    """``X-Ratelimit-Reset`` in seconds, with ``-Limit`` and ``-Remaining``: the documented one."""
    RETRY_AFTER = "retry-after"
    """``Retry-After`` in seconds."""
    RETRY_AFTER_DATE = "retry-after-date"
    """``Retry-After`` as a date."""
    BOTH = "both"
    """``X-Ratelimit-Reset``, and a ``Retry-After`` of twice that."""
    ODD = "odd"
    """A limit without its window, ``-Remaining: -1``, and a ``Retry-After`` that has passed."""
    NONE = "none"
    """Nothing."""
