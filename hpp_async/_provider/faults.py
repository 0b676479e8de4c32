"""What can go wrong between the provider and its merchants, as data: which fault, when, how often, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._provider.answers import Envelope, Hint
from hpp_async._provider.checks import (
    by_of,
    bytes_of,
    envelope_of,
    hint_of,
    is_flag,
    is_share,
    is_status_code,
    is_text,
    is_whole,
    lag_of,
    operations_of,
    pairs_of,
    reset_of,
    seconds_of,
    start_of,
    until_of,
)
from hpp_async._provider.resource import Operation

# -- the connection ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Slow:
    """The answer takes that many seconds (or `timedelta`) more; several add up."""

    seconds: float = attrs.field(converter=seconds_of)


@attrs.frozen
class Stalled:
    """
    No answer comes: after that many seconds the transport gives up.

    The simulator cannot make the other side give up: there the connection is closed after so long.
    """

    seconds: float = attrs.field(default=10.0, converter=seconds_of)


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

    is_done: bool = attrs.field(default=False, validator=is_flag)
    is_reset: bool = attrs.field(default=False, validator=is_flag)


@attrs.frozen
class Cut:
    """The connection is closed half way through the answer's body."""


# -- another answer ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Answered:
    """The gateway answers with this status code, these headers on top of its own, and an error in this form."""

    status_code: int = attrs.field(validator=is_status_code)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=pairs_of)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=envelope_of)
    error_code: str | None = attrs.field(default=None, validator=attrs.validators.optional(is_text))


@attrs.frozen
class Throttled:
    """429: the merchant is asked to stay away for that many seconds, in the form that *hint* names."""

    seconds: float = attrs.field(default=1.0, converter=seconds_of)
    hint: Hint = attrs.field(default=Hint.RESET, converter=hint_of)
    envelope: Envelope = attrs.field(default=Envelope.LEGACY, converter=envelope_of)


@attrs.frozen
class Missing:
    """A 404 that is not true, with this error code."""

    error_code: str = attrs.field(default="NOT_FOUND", validator=is_text)


# -- the answer, bent --------------------------------------------------------------------------------------------------


@attrs.frozen
class Garbled:
    """A good answer with another body."""

    body: bytes = attrs.field(default=b"<html>try again later</html>", converter=bytes_of)


@attrs.frozen
class Foreign:
    """A good answer about another session."""


@attrs.frozen
class Stale:
    """The replica that answers a read is that many seconds (or `timedelta`) behind; it knows every session."""

    lag: float = attrs.field(converter=lag_of)


@attrs.frozen
class Undated:
    """A good answer without ``updated_at`` and ``expires_at``."""


@attrs.frozen
class Dateless:
    """An answer without ``Date``."""


@attrs.frozen
class Skewed:
    """The clock of whoever answers, gateways included, is so many seconds (or `timedelta`) ahead; negative: behind."""

    by: float = attrs.field(converter=by_of)


@attrs.frozen
class Scarce:
    """An answer that says how little of the merchant's quota is left."""

    limit: int = attrs.field(default=50, validator=is_whole)
    remaining: int = attrs.field(default=0, validator=is_whole)
    reset: float = attrs.field(default=1.0, converter=reset_of)


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
    share: float = attrs.field(default=1.0, kw_only=True, validator=is_share)
    first: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(is_whole))
    in_a_row: int | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(is_whole))
    start: float = attrs.field(default=0.0, kw_only=True, converter=start_of)
    until: float = attrs.field(default=float("inf"), kw_only=True, converter=until_of)
    on: frozenset[Operation] = attrs.field(default=frozenset[Operation](), kw_only=True, converter=operations_of)
    session: str | None = attrs.field(default=None, kw_only=True, validator=attrs.validators.optional(is_text))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.fault, Fault):
            raise ConfigurationError(f"fault={self.fault!r}: give a fault, as hpp_async.testing.Slow(2) is one")
        if not self.start < self.until:
            raise ConfigurationError(f"until={self.until:g}: give a time after start={self.start:g}")

    def is_about(self, operation: Operation, session_id: str | None, age: float) -> bool:
        """Tell whether such a request can meet it, *age* seconds after the trouble was made known."""
        is_on = operation in self.on if self.on else operation != Operation.CALLBACK
        return is_on and self.session in (None, session_id) and self.start <= age < self.until
