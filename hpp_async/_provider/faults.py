"""Faults between the provider and its merchants, as data: the kind of a fault, and which requests it affects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar, get_args

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.schedule import seconds
from hpp_async._provider.life import duration


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


# -- validators and converters -----------------------------------------------------------------------------------------
# attrs has validators for all of this, but their messages name Python types. Authors of TOML read these, too.

_Word = TypeVar("_Word", bound=StrEnum)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]+:[ -~]*")


def _only(what: str, is_right: Callable[[Any], bool]) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator for *what*, by the test *is_right*; it refuses other values and names the attribute."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_right(value):
            raise ConfigurationError(f"{attribute.name}={value!r}: give {what}")

    return validate


_whole: Final = _only("a whole number, 0 or more", lambda value: type(value) is int and value >= 0)
_status_code: Final = _only(
    "an HTTP status code from 200 to 599", lambda value: type(value) is int and 200 <= value <= 599
)
_share: Final = _only("a share from 0 to 1", lambda value: type(value) in (int, float) and 0 <= value <= 1)
_flag: Final = _only("true or false", lambda value: isinstance(value, bool))
_text: Final = _only("text", lambda value: isinstance(value, str))


def _seconds(value: float | timedelta) -> float:
    return duration(value, "seconds")


def _lag(value: float | timedelta) -> float:
    return duration(value, "lag")


def _by(value: float | timedelta) -> float:
    return duration(value, "by", at_least=-1e9)


def _reset(value: float | timedelta) -> float:
    return duration(value, "reset")


def _start(value: float | timedelta) -> float:
    return duration(value, "start")


def _until(value: float | timedelta) -> float:
    return seconds(value, "until")  # by default it is infinite, which `duration` refuses


def _body(value: bytes | str) -> bytes:
    if not isinstance(value, bytes | str):
        raise ConfigurationError(f"body={value!r}: give bytes or text")
    return value.encode() if isinstance(value, str) else value


def _headers(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    try:
        pairs = tuple(dict(value).items())
    except (TypeError, ValueError):
        pairs = (("", ""),)
    if not all(isinstance(text, str) and _HEADER.fullmatch(f"{name}:{text}") for name, text in pairs):
        raise ConfigurationError(f"headers={value!r}: give names and texts, in ASCII")
    return pairs


def _envelope(value: Envelope | str) -> Envelope:
    return _one_of(Envelope, value, "envelope")


def _hint(value: Hint | str) -> Hint:
    return _one_of(Hint, value, "hint")


def _operations(value: Operation | str | Iterable[Operation | str]) -> frozenset[Operation]:
    words: Iterable[str] = (value,) if isinstance(value, str) else value
    if not isinstance(words, Iterable):
        raise ConfigurationError(f"on={value!r}: give some of {', '.join(Operation)}")
    return frozenset(_one_of(Operation, word, "on") for word in words)


def _one_of(words: type[_Word], value: str, name: str) -> _Word:
    try:
        return words(value)
    except ValueError:
        raise ConfigurationError(f"{name}={value!r}: give one of {', '.join(words)}") from None


# -- faults of the connection ------------------------------------------------------------------------------------------


@attrs.frozen
class Slow:
    """The answer takes that many more seconds (or `timedelta`); several such faults add up."""

    seconds: float = attrs.field(converter=_seconds)


@attrs.frozen
class Stalled:
    """
    No answer comes: after that many seconds the transport gives up.

    The simulator cannot make the other side give up, so it closes the connection after that time.
    """

    seconds: float = attrs.field(default=10.0, converter=_seconds)


@attrs.frozen
class Refused:
    """
    No connection can be opened.

    The simulator's port stays open, so it resets the connection before it looks at the request.
    """


@attrs.frozen
class Dropped:
    """
    The connection is closed after the request, without an answer.

    Attributes:
        is_done: whether the provider carries out the request first.
        is_reset: whether the connection ends with a TCP reset, as after a crash or by a firewall.
    """

    is_done: bool = attrs.field(default=False, validator=_flag)
    is_reset: bool = attrs.field(default=False, validator=_flag)


@attrs.frozen
class Cut:
    """The connection is closed in the middle of the answer's body."""


# -- other answers -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Answered:
    """A gateway answers with this status code, with these additional headers, and with an error in this envelope."""

    status_code: int = attrs.field(validator=_status_code)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_headers)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=_envelope)
    error_code: str | None = attrs.field(default=None, validator=attrs.validators.optional(_text))


@attrs.frozen
class Throttled:
    """429: the merchant is asked to pause for that many seconds, in the form that *hint* names."""

    seconds: float = attrs.field(default=1.0, converter=_seconds)
    hint: Hint = attrs.field(default=Hint.RESET, converter=_hint)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=_envelope)


@attrs.frozen
class Missing:
    """A 404 for a session that exists, with this error code."""

    error_code: str = attrs.field(default="NOT_FOUND", validator=_text)


# -- damaged answers ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Garbled:
    """A good answer with another body."""

    body: bytes = attrs.field(default=b"<html>try again later</html>", converter=_body)


@attrs.frozen
class Foreign:
    """A good answer about another session."""


@attrs.frozen
class Stale:
    """The replica that answers a read is that many seconds (or `timedelta`) behind, but it knows every session."""

    lag: float = attrs.field(converter=_lag)


@attrs.frozen
class Undated:
    """A good answer without ``updated_at`` and ``expires_at``."""


@attrs.frozen
class Dateless:
    """An answer without the ``Date`` header."""


@attrs.frozen
class Skewed:
    """The answering server's clock, or its gateway's, is that many seconds (or `timedelta`) fast; negative: slow."""

    by: float = attrs.field(converter=_by)


@attrs.frozen
class Scarce:
    """An answer whose headers say that little of the merchant's quota is left."""

    limit: int = attrs.field(default=50, validator=_whole)
    remaining: int = attrs.field(default=0, validator=_whole)
    reset: float = attrs.field(default=1.0, converter=_reset)


FaultKind = (
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
"""What can go wrong with one request, or with one callback."""

FAULT_KINDS: Final[Mapping[str, type[FaultKind]]] = {kind.__name__.lower(): kind for kind in get_args(FaultKind)}
"""The kinds of faults by their names in TOML, JSON and the help."""


@attrs.frozen
class Fault:
    """
    A fault of some kind and the requests that it affects: all of them, unless an attribute says otherwise.

    A request can be affected by several faults at once; their effects are combined as far as possible.

    Attributes:
        share: the share of the requests that is affected, from 0 to 1; which ones is drawn from the seed of `Faults`.
        first: only the first so many requests are affected.
        in_a_row: at most so many requests in a row about one session are affected.
        start, until: only requests in this period are affected, in seconds (or `timedelta`) since the fault was added.
        on: only these operations are affected; if it is empty, all operations except callbacks.
        session: only requests about the session with this id are affected.

    Raises:
        ConfigurationError: an attribute has an impossible value; the message names the attribute.
    """

    kind: FaultKind
    share: float = attrs.field(default=1.0, kw_only=True, validator=_share)
    first: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_whole))
    in_a_row: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_whole))
    start: float = attrs.field(default=0.0, kw_only=True, converter=_start)
    until: float = attrs.field(default=float("inf"), kw_only=True, converter=_until)
    on: frozenset[Operation] = attrs.field(default=frozenset[Operation](), kw_only=True, converter=_operations)
    session: str | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(_text))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.kind, FaultKind):
            raise ConfigurationError(f"kind={self.kind!r}: give a kind of fault such as hpp_async.testing.Slow(2)")
        if not self.start < self.until:
            raise ConfigurationError(f"until={self.until:g}: give a time after start={self.start:g}")

    def can_affect(self, operation: Operation, session_id: str | None, age: float) -> bool:
        """Tell whether the fault can affect such a request, *age* seconds after the fault was added."""
        is_on = operation in self.on if self.on else operation != Operation.CALLBACK
        return is_on and self.session in (None, session_id) and self.start <= age < self.until
