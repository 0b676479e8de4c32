"""The words that faults are described with: operations, the forms of an error's body, the forms of a hint to pause."""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """The requests of a merchant to the provider; and ``CALLBACK``, the provider's own request to a merchant."""

    CREATE = "create"
    READ = "read"
    DISTRIBUTE = "distribute"
    DISABLE = "disable"
    CREATE_PAYMENT_SESSION = "create-payment-session"
    READ_PAYMENT_SESSION = "read-payment-session"
    UPDATE_PAYMENT_SESSION = "update-payment-session"
    PLACE_ORDER = "place-order"
    CANCEL_AUTHORIZATION = "cancel-authorization"
    CREATE_CUSTOMER_TOKEN = "create-customer-token"
    CALLBACK = "callback"


class Envelope(StrEnum):
    """The forms of an error's body."""

    LEGACY = "legacy"
    """``{error_code, error_messages, correlation_id}``"""
    NETWORK = "network"
    """The Klarna Network's ``{error_id, error_type, error_code, error_message, doc_url}``"""
    HTML = "html"
    """A gateway's HTML page."""
    TEXT = "text"
    """A proxy's line of plain text."""
    EMPTY = "empty"
    """No body."""


class Hint(StrEnum):
    """The forms in which a 429 says how long to pause."""

    RESET = "reset"
    """``X-Ratelimit-Reset`` in seconds, with ``-Limit`` and ``-Remaining``: the documented form."""
    RETRY_AFTER = "retry-after"
    """``Retry-After`` in seconds."""
    RETRY_AFTER_DATE = "retry-after-date"
    """``Retry-After`` as a date."""
    BOTH = "both"
    """``X-Ratelimit-Reset``, and a ``Retry-After`` that is twice as long."""
    ODD = "odd"
    """A limit without its window, ``-Remaining: -1``, and a ``Retry-After`` in the past."""
    NONE = "none"
    """None of these headers."""
