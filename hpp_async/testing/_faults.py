"""What can go wrong between the provider and its merchants, as data: which fault, when, how often, and to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final, TypeVar

import attrs

from hpp_async._exceptions import ConfigurationError
from hpp_async._schedule import seconds as in_seconds

_Word = TypeVar("_Word", bound=StrEnum)


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


# -- what is said, checked ---------------------------------------------------------------------------------------------


def _seconds(value: float | timedelta) -> float:
    return in_seconds(value, "seconds")


def _lag(value: float | timedelta) -> float:
    return in_seconds(value, "lag")


def _by(value: float | timedelta) -> float:
    return in_seconds(value, "by", at_least=float("-inf"))


def _reset(value: float | timedelta) -> float:
    return in_seconds(value, "reset")


def _start(value: float | timedelta) -> float:
    return in_seconds(value, "start")


def _until(value: float | timedelta) -> float:
    return in_seconds(value, "until")


def _bytes(value: bytes | str) -> bytes:
    if not isinstance(value, bytes | str):
        raise ConfigurationError(f"body={value!r}: give bytes or text")
    return value.encode() if isinstance(value, str) else value


def _envelope(value: Envelope | str) -> Envelope:
    return _word(Envelope, value, "envelope")


def _hint(value: Hint | str) -> Hint:
    return _word(Hint, value, "hint")


def _operations(value: Operation | str | Iterable[Operation | str]) -> frozenset[Operation]:
    words: Iterable[str] = (value,) if isinstance(value, str) else value
    return frozenset(_word(Operation, word, "on") for word in words)


def _pairs(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(dict(value).items())


def _word(kind: type[_Word], value: str, name: str) -> _Word:
    try:
        return kind(value)
    except ValueError:
        raise ConfigurationError(f"{name}={value!r}: give one of {', '.join(kind)}") from None


def _is_whole(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{attribute.name}={value!r}: give a whole number, 0 or more")


def _is_status_code(_: object, attribute: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
        raise ConfigurationError(f"{attribute.name}={value!r}: give an HTTP status code from 200 to 599")


def _is_text(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name}={value!r}: give text")


def _is_share(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{attribute.name}={value!r}: give a share from 0 to 1")


# -- the connection ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Slow:
    """The answer takes that many seconds (or `timedelta`) more; several add up."""

    seconds: float = attrs.field(converter=_seconds)


@attrs.frozen
class Stalled:
    """
    No answer comes: after that many seconds the transport gives up.

    The simulator cannot make the other side give up: there the connection is closed after so long.
    """

    seconds: float = attrs.field(default=10.0, converter=_seconds)


@attrs.frozen
class Refused:
    """
    No connection comes about.

    The simulator's port is open: there the connection is reset before the request is looked at.
    """


@attrs.frozen
class Dropped:
    """
    The connection is closed under the request, without an answer.

    Attributes:
        is_done: whether what was asked had been done by then.
        is_reset: with a TCP reset, as a crash or a firewall does it, and not in an orderly way.
    """

    is_done: bool = False
    is_reset: bool = False


@attrs.frozen
class Cut:
    """The connection is closed half way through the answer's body."""


# -- another answer ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Answered:
    """The gateway answers with this status code, these headers on top of its own, and an error in this form."""

    status_code: int = attrs.field(validator=_is_status_code)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=_envelope)
    error_code: str | None = attrs.field(default=None, validator=attrs.validators.optional(_is_text))


@attrs.frozen
class Throttled:
    """429: the merchant is asked to stay away for that many seconds, in the form that *hint* names."""

    seconds: float = attrs.field(default=1.0, converter=_seconds)
    hint: Hint = attrs.field(default=Hint.RESET, converter=_hint)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=_envelope)


@attrs.frozen
class Missing:
    """A 404 that is not true, with this error code."""

    error_code: str = attrs.field(default="NOT_FOUND", validator=_is_text)


# -- the answer, bent --------------------------------------------------------------------------------------------------


@attrs.frozen
class Garbled:
    """A good answer with another body."""

    body: bytes = attrs.field(default=b"<html>try again later</html>", converter=_bytes)


@attrs.frozen
class Foreign:
    """A good answer about another session."""


@attrs.frozen
class Stale:
    """The replica that answers a read is that many seconds (or `timedelta`) behind; it knows every session."""

    lag: float = attrs.field(converter=_lag)


@attrs.frozen
class Undated:
    """A good answer without ``updated_at`` and ``expires_at``."""


@attrs.frozen
class Dateless:
    """An answer without ``Date``."""


@attrs.frozen
class Skewed:
    """The clock of the replica that answers is that many seconds (or `timedelta`) ahead; negative: behind."""

    by: float = attrs.field(converter=_by)


@attrs.frozen
class Scarce:
    """An answer that says how little of the merchant's quota is left."""

    limit: int = attrs.field(default=50, validator=_is_whole)
    remaining: int = attrs.field(default=0, validator=_is_whole)
    reset: float = attrs.field(default=1.0, converter=_reset)


Fault = (
    Slow
    | Stalled
    | Refused
    | Dropped
    | Cut
    | Answered
    | Throttled
    | Missing
    | Garbled
    | Foreign
    | Stale
    | Undated
    | Dateless
    | Skewed
    | Scarce
)
"""What can go wrong with one request, or one callback."""

FAULTS: Final[Mapping[str, type[Fault]]] = {
    kind.__name__.lower(): kind
    for kind in (
        Slow,
        Stalled,
        Refused,
        Dropped,
        Cut,
        Answered,
        Throttled,
        Missing,
        Garbled,
        Foreign,
        Stale,
        Undated,
        Dateless,
        Skewed,
        Scarce,
    )
}
"""All faults by the ``kind`` that files have for them."""


@attrs.frozen
class Trouble:
    """
    A fault, and whom it meets: everybody, unless something is said here.

    Several troubles at once meet a request together, as far as they can.

    Attributes:
        share: of the requests that it could meet, from 0 to 1; drawn from the seed of `Troubles`.
        first: that many requests and no more.
        in_a_row: of the requests about one session at most so many in a row.
        start, until: seconds (or `timedelta`), counted from when the trouble was made known to the provider.
        on: these operations only; none means all but callbacks.
        session: the id of the only session it is about.

    Raises:
        ConfigurationError: naming the attribute.
    """

    fault: Fault
    share: float = attrs.field(default=1.0, kw_only=True, validator=_is_share)
    first: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_is_whole))
    in_a_row: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_is_whole))
    start: float = attrs.field(default=0.0, kw_only=True, converter=_start)
    until: float = attrs.field(default=float("inf"), kw_only=True, converter=_until)
    on: frozenset[Operation] = attrs.field(default=frozenset[Operation](), kw_only=True, converter=_operations)
    session: str | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_is_text))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.fault, Fault):
            raise ConfigurationError(f"fault={self.fault!r}: give a fault, as hpp_async.testing.Slow(2) is one")
        if not self.start < self.until:
            raise ConfigurationError(f"until={self.until:g}: give a time after start={self.start:g}")

    def is_about(self, operation: Operation, session_id: str | None, age: float) -> bool:
        """Tell whether such a request can meet it, *age* seconds after the trouble was made known."""
        is_on = operation in self.on if self.on else operation != Operation.CALLBACK
        return is_on and self.session in (None, session_id) and self.start <= age < self.until
