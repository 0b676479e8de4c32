"""Faults between the provider and its merchants, as data: the kind of a fault, and which requests it affects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.fault_checks import (
    any_text,
    as_body,
    as_by,
    as_envelope,
    as_headers,
    as_hint,
    as_lag,
    as_operations,
    as_reset,
    as_seconds,
    as_session,
    as_start,
    as_until,
    fraction,
    http_status,
    true_or_false,
    whole_number,
)
from hpp_async._provider.words import Envelope, Hint, Operation

# -- faults of the connection ------------------------------------------------------------------------------------------


@attrs.frozen
class Slow:
    """The answer takes that many more seconds (or `timedelta`); several such faults add up."""

    seconds: float = attrs.field(converter=as_seconds)


@attrs.frozen
class Stalled:
    """
    No answer comes: after that many seconds the transport gives up.

    The simulator cannot make the other side give up, so it closes the connection after that time.
    """

    seconds: float = attrs.field(default=10.0, converter=as_seconds)


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

    is_done: bool = attrs.field(default=False, validator=true_or_false)
    is_reset: bool = attrs.field(default=False, validator=true_or_false)


@attrs.frozen
class Cut:
    """The connection is closed in the middle of the answer's body."""


# -- other answers -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Answered:
    """A gateway answers with this status code, with these additional headers, and with an error in this envelope."""

    status_code: int = attrs.field(validator=http_status)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=as_headers)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=as_envelope)
    error_code: str | None = attrs.field(default=None, validator=attrs.validators.optional(any_text))


@attrs.frozen
class Throttled:
    """429: the merchant is asked to pause for that many seconds, in the form that *hint* names."""

    seconds: float = attrs.field(default=1.0, converter=as_seconds)
    hint: Hint = attrs.field(default=Hint.RESET, converter=as_hint)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=as_envelope)


@attrs.frozen
class Missing:
    """A 404 for a session that exists, with this error code."""

    error_code: str = attrs.field(default="NOT_FOUND", validator=any_text)


# -- damaged answers ---------------------------------------------------------------------------------------------------


@attrs.frozen
class Garbled:
    """A good answer with another body."""

    body: bytes = attrs.field(default=b"<html>try again later</html>", converter=as_body)


@attrs.frozen
class Foreign:
    """A good answer about another session."""


@attrs.frozen
class Stale:
    """The replica that answers a read is that many seconds (or `timedelta`) behind, but it knows every session."""

    lag: float = attrs.field(converter=as_lag)


@attrs.frozen
class Undated:
    """A good answer without ``updated_at`` and ``expires_at``."""


@attrs.frozen
class Dateless:
    """An answer without the ``Date`` header."""


@attrs.frozen
class Skewed:
    """The answering server's clock, or its gateway's, is that many seconds (or `timedelta`) fast; negative: slow."""

    by: float = attrs.field(converter=as_by)


@attrs.frozen
class Scarce:
    """An answer whose headers say that little of the merchant's quota is left."""

    limit: int = attrs.field(default=50, validator=whole_number)
    remaining: int = attrs.field(default=0, validator=whole_number)
    reset: float = attrs.field(default=1.0, converter=as_reset)


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
        session: only requests about the session with this id, or ``session_url``, are affected.

    Raises:
        ConfigurationError: an attribute has an impossible value; the message names the attribute.
    """

    kind: FaultKind
    share: float = attrs.field(default=1.0, kw_only=True, validator=fraction)
    first: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(whole_number))
    in_a_row: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(whole_number))
    start: float = attrs.field(default=0.0, kw_only=True, converter=as_start)
    until: float = attrs.field(default=float("inf"), kw_only=True, converter=as_until)
    on: frozenset[Operation] = attrs.field(default=frozenset[Operation](), kw_only=True, converter=as_operations)
    session: str | None = attrs.field(default=None, kw_only=True, converter=as_session)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.kind, FaultKind):
            raise ConfigurationError(f"kind={self.kind!r}: give a kind of fault such as hpp_async.testing.Slow(2)")
        if not self.start < self.until:
            raise ConfigurationError(f"until={self.until:g}: give a time after start={self.start:g}")

    def can_affect(self, operation: Operation, session_id: str | None, age: float) -> bool:
        """Tell whether the fault can affect such a request, *age* seconds after the fault was added."""
        is_on = operation in self.on if self.on else operation != Operation.CALLBACK
        return is_on and self.session in (None, session_id) and self.start <= age < self.until
