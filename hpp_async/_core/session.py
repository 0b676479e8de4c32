"""What the provider said about a session, and the life cycle of a session as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

import attrs

from hpp_async._core.exceptions import ConfigurationError
from hpp_async._core.hidden import Hidden, hide


class SessionStatus(StrEnum):
    """
    The statuses that this version of the library knows.

    The provider adds statuses: one that is not here comes as an `UnknownStatus`, so `AnyStatus` is what a session has.
    """

    WAITING = "WAITING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    DISABLED = "DISABLED"
    # The last two are in the OpenAPI file (and BACK on the tracking page), not on the read page.
    BACK = "BACK"
    MANUAL_ID_CHECK = "MANUAL_ID_CHECK"

    @property
    def is_recognized(self) -> bool:
        """Whether this version of the library knows the status: True."""
        return True

    @property
    def is_final(self) -> bool:
        """Whether the provider promises that no further change follows (tracking page)."""
        return self in FINAL


class UnknownStatus(str):
    """
    A status that this version of the library does not know, as the provider wrote it.

    It equals its text, and hashes as it. It is never final: a wait goes on unless its ``stop_on`` names the status.

    Raises:
        ConfigurationError: the text is a status that is known, or cannot be a status: empty, longer than 64 characters,
            or with characters that are not printable.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not isinstance(text, str) or not is_status(text):
            raise ConfigurationError(f"status={_shown(text)}: give a SessionStatus, or up to 64 printable characters")
        if text in KNOWN_STATUSES:
            raise ConfigurationError(f"status={text} is known: give SessionStatus.{text}")
        return super().__new__(cls, text)

    def __reduce__(self) -> tuple[Callable[[str], AnyStatus], tuple[str]]:
        # The version of the library that reads the pickle may know the status.
        return status_of, (str(self),)

    @property
    def is_recognized(self) -> bool:
        """Whether this version of the library knows the status: False."""
        return False

    @property
    def is_final(self) -> bool:
        """Whether the provider promises that no further change follows: False, as nothing is known of this status."""
        return False

    def __repr__(self) -> str:
        return f"UnknownStatus({str(self)!r})"


AnyStatus = SessionStatus | UnknownStatus
"""A status of the provider's: one that this version knows, or one that it does not know yet. Both are ``str``."""

KNOWN_STATUSES: Final[Mapping[str, SessionStatus]] = {str(status): status for status in SessionStatus}
"""Six times as fast as ``SessionStatus(text)``."""

_STATUS_MAXIMUM: Final = 64


def status_of(text: str) -> AnyStatus:
    """
    Return the status that *text* is.

    Raises:
        ConfigurationError: it cannot be a status.
    """
    if type(text) is SessionStatus:
        return text
    known = KNOWN_STATUSES.get(text) if isinstance(text, str) else None
    return UnknownStatus(text) if known is None else known


def is_status(text: str) -> bool:
    """Tell whether *text* can be a status: it goes into messages, logs and tokens, so not any text can."""
    return bool(text.strip()) and text.isprintable() and len(text) <= _STATUS_MAXIMUM


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 2 * _STATUS_MAXIMUM else f"{shown[:_STATUS_MAXIMUM]}…"


FINAL: Final = frozenset({SessionStatus.COMPLETED, SessionStatus.CANCELLED, SessionStatus.DISABLED})
"""The provider's own final statuses (tracking page): nothing can follow them."""

OUTCOME: Final = FINAL | {SessionStatus.FAILED, SessionStatus.ERROR}
"""
Where a wait stops by default.

FAILED and ERROR look final and are not: the consumer may retry on the same page and still complete (tracking page).
"""


@attrs.frozen(kw_only=True)
class Customer:
    """Who paid, as far as the provider says. Personal data: none of it is in the ``repr``."""

    date_of_birth: str | None = attrs.field(default=None, repr=False)
    family_name: str | None = attrs.field(default=None, repr=False)
    given_name: str | None = attrs.field(default=None, repr=False)
    national_identification_number: str | None = attrs.field(default=None, repr=False)
    title: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class ManualIdentification:
    """A manual check of the consumer's identity; it expires on its own, earlier than the session."""

    challenge: str | None = attrs.field(default=None, repr=False)
    customer: Customer | None = attrs.field(default=None, repr=False)
    customer_obfuscated: Customer | None = attrs.field(default=None, repr=False)
    expires_at: datetime | None = None


Raw = Mapping[str, object] | Callable[[], Mapping[str, object]]


# One converter for each type: type checkers do not see through a generic one.
def _hidden_text(text: str | Hidden[str] | None) -> Hidden[str] | None:
    return None if text is None else hide(text)


def _hidden_customer(customer: Customer | Hidden[Customer] | None) -> Hidden[Customer] | None:
    return None if customer is None else hide(customer)


def _hidden_identification(
    identification: ManualIdentification | Hidden[ManualIdentification] | None,
) -> Hidden[ManualIdentification] | None:
    return None if identification is None else hide(identification)


def _hidden_raw(raw: Raw) -> Callable[[], Mapping[str, object]]:
    return raw if callable(raw) else Hidden(raw)


@attrs.frozen(kw_only=True, weakref_slot=False)
class Session:
    """
    One reading of a session.

    The provider marks no field as required, so each may be ``None``; so is one that came empty or broken (what came is
    in ``raw``). Times are aware and in UTC; one that came without a zone is taken as UTC. Neither ``repr`` nor any log
    shows tokens or personal data, and neither do `to_dict` and ``attrs.asdict``.

    Attributes:
        status: where the session is; a plain string is made into the right one of `AnyStatus`.
        updated_at: when it got there (or was last touched).
        expires_at: after which the consumer can no longer pay. It can move: each reading has its own.
        authorization_token: on COMPLETED with ``place_order_mode=NONE``; lives 60 minutes from ``updated_at``.
        order_id, klarna_reference: on COMPLETED with ``PLACE_ORDER`` or ``CAPTURE_ORDER``.
        customer, manual_identification: personal data.
        correlation_id: the provider's id of this exchange; its support asks for it.
        read_at: when the answer was made, by the provider's clock (the ``Date`` header; where it is missing, by the
            best estimate the client has).
        is_locally_dated: whether ``read_at`` is by the calendar of this machine, because no answer had a ``Date`` yet.
            No session expires by that.
        raw: the mapping as it was received, decoded anew each time: thousands of open sessions keep theirs as bytes.

    Raises:
        ConfigurationError: ``status`` cannot be a status.
    """

    session_id: str | None = None
    status: AnyStatus = attrs.field(converter=status_of)
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    _authorization_token: Hidden[str] | None = attrs.field(
        alias="authorization_token", default=None, converter=_hidden_text, repr=False
    )
    order_id: str | None = None
    klarna_reference: str | None = None
    _customer: Hidden[Customer] | None = attrs.field(
        alias="customer", default=None, converter=_hidden_customer, repr=False
    )
    _manual_identification: Hidden[ManualIdentification] | None = attrs.field(
        alias="manual_identification", default=None, converter=_hidden_identification, repr=False
    )
    correlation_id: str | None = None
    read_at: datetime | None = None
    is_locally_dated: bool = False
    _raw: Callable[[], Mapping[str, object]] = attrs.field(
        alias="raw", default=dict[str, object], converter=_hidden_raw, repr=False, eq=False
    )

    @property
    def authorization_token(self) -> str | None:
        """What an order is placed with. A secret."""
        return None if self._authorization_token is None else self._authorization_token()

    @property
    def customer(self) -> Customer | None:
        """Who paid. Personal data."""
        return None if self._customer is None else self._customer()

    @property
    def manual_identification(self) -> ManualIdentification | None:
        """The manual check of the consumer's identity. Personal data."""
        return None if self._manual_identification is None else self._manual_identification()

    @property
    def raw(self) -> Mapping[str, object]:
        """The mapping as it was received."""
        return self._raw()

    @property
    def expires_in(self) -> float | None:
        """Seconds from this reading to ``expires_at``, both by the provider's clock; negative once it has passed."""
        return _seconds(self.read_at, self.expires_at)

    @property
    def age(self) -> float | None:
        """Seconds from ``updated_at`` to this reading, both by the provider's clock."""
        return _seconds(self.updated_at, self.read_at)

    def to_dict(self, *, show_secrets: bool = False) -> dict[str, object]:
        """
        Return the reading as plain data, for a JSON answer, a queue or a log: dates are ISO 8601 strings.

        It has no token and no personal data, but says whether there is a token; *show_secrets* adds
        ``authorization_token``, ``customer`` and ``manual_identification``.
        """
        data: dict[str, object] = {
            "session_id": self.session_id,
            "status": str(self.status),
            "updated_at": _iso(self.updated_at),
            "expires_at": _iso(self.expires_at),
            "order_id": self.order_id,
            "klarna_reference": self.klarna_reference,
            "has_authorization_token": self.authorization_token is not None,
            "correlation_id": self.correlation_id,
            "read_at": _iso(self.read_at),
        }
        if show_secrets:
            secrets = (self.authorization_token, self.customer, self.manual_identification)
            data |= zip(("authorization_token", "customer", "manual_identification"), map(_plain, secrets), strict=True)
        return data


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def _iso(moment: datetime | None) -> str | None:
    # As the provider writes dates.
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    if isinstance(value, Customer | ManualIdentification):
        return attrs.asdict(value, value_serializer=_plain_field)
    return value


def _plain_field(_: object, __: object, value: object) -> object:
    return _iso(value) if isinstance(value, datetime) else value
