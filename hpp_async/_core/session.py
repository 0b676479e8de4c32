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

    The provider may add a status at any time. One that is not here is an `UnknownStatus`, so the status of a session is
    typed as `AnyStatus`.
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

    It is equal to its text, and has the same hash. It is never final: a wait goes on unless its ``stop_on`` names it.

    Raises:
        ConfigurationError: the text is a known status, is empty, is longer than 64 characters, or has characters that
            are not printable.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not isinstance(text, str) or not is_status(text):
            raise ConfigurationError(f"status={_shown(text)}: give a SessionStatus, or up to 64 printable characters")
        if text in KNOWN_STATUSES:
            raise ConfigurationError(f"status={text} is known: give SessionStatus.{text}")
        return super().__new__(cls, text)

    def __reduce__(self) -> tuple[Callable[[str], AnyStatus], tuple[str]]:
        # A later version of the library, which may know the status, can load the pickle.
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
"""A status of the provider, whether this version of the library knows it or not. Both types are ``str``."""

KNOWN_STATUSES: Final[Mapping[str, SessionStatus]] = {str(status): status for status in SessionStatus}
"""Each known status by its text: six times as fast as ``SessionStatus(text)``."""

_STATUS_MAXIMUM: Final = 64


def status_of(text: str) -> AnyStatus:
    """
    Return *text* as a status.

    Raises:
        ConfigurationError: *text* cannot be a status; see `is_status`.
    """
    if type(text) is SessionStatus:
        return text
    known = KNOWN_STATUSES.get(text) if isinstance(text, str) else None
    return UnknownStatus(text) if known is None else known


def is_status(text: str) -> bool:
    """Tell whether *text* can be a status: up to 64 printable characters, as it goes into messages, logs and tokens."""
    return bool(text.strip()) and text.isprintable() and len(text) <= _STATUS_MAXIMUM


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 2 * _STATUS_MAXIMUM else f"{shown[:_STATUS_MAXIMUM]}…"


FINAL: Final = frozenset({SessionStatus.COMPLETED, SessionStatus.CANCELLED, SessionStatus.DISABLED})
"""The provider's own final statuses (tracking page): nothing can follow them."""

OUTCOME: Final = FINAL | {SessionStatus.FAILED, SessionStatus.ERROR}
"""
The statuses at which a wait stops by default.

FAILED and ERROR seem final and are not: the consumer may retry on the same page and still complete (tracking page).
"""


@attrs.frozen(kw_only=True)
class Customer:
    """Who paid, as far as the provider says. All of it is personal data, which ``repr`` does not show."""

    date_of_birth: str | None = attrs.field(default=None, repr=False)
    family_name: str | None = attrs.field(default=None, repr=False)
    given_name: str | None = attrs.field(default=None, repr=False)
    national_identification_number: str | None = attrs.field(default=None, repr=False)
    title: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class ManualIdentification:
    """A manual check of the consumer's identity. It has an expiry of its own, earlier than the session's."""

    challenge: str | None = attrs.field(default=None, repr=False)
    customer: Customer | None = attrs.field(default=None, repr=False)
    customer_obfuscated: Customer | None = attrs.field(default=None, repr=False)
    expires_at: datetime | None = None


Raw = Mapping[str, object] | Callable[[], Mapping[str, object]]


# There is one converter for each type, because type checkers cannot infer the types of a generic one.
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

    The provider marks no field as required, so every field but ``status`` may be ``None``. A field that was empty or
    broken in the answer is ``None``, too; ``raw`` has it as it came. Times are aware and in UTC; a time that came
    without a zone is taken as UTC. Tokens and personal data are not shown by ``repr``, by logs, by ``attrs.asdict``, or
    by `to_dict` unless it is asked for them.

    Attributes:
        session_id: the session that was read.
        status: its status. A plain string is converted.
        updated_at: when the session got its status (or was last touched).
        expires_at: when the consumer can no longer pay. This can move, so each reading has its own.
        authorization_token: on COMPLETED with ``place_order_mode=NONE``; valid for 60 minutes from ``updated_at``.
        order_id, klarna_reference: on COMPLETED with ``PLACE_ORDER`` or ``CAPTURE_ORDER``.
        customer, manual_identification: personal data.
        correlation_id: the provider's id of this exchange, which its support asks for.
        read_at: when the answer was made, by the provider's clock: by its ``Date`` header, or by the client's best
            estimate where that is missing, or ahead of what other readings say.
        is_locally_dated: whether ``read_at`` is by this machine's calendar, because no reading had a ``Date`` yet. Such
            a reading never makes a session expire.
        raw: the answer's mapping as it was received. It is decoded at each access: a reading keeps the bytes only,
            which saves memory where thousands of sessions are open.

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
        """The authorization token, which places an order. A secret."""
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
        """The answer's mapping as it was received. It may hold secrets and personal data."""
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
        Return the reading as plain data, for a JSON answer, a queue or a log. Dates are ISO 8601 strings.

        The data have no token and no personal data, but say whether there is a token. *show_secrets* adds
        ``authorization_token``, ``customer`` and ``manual_identification``.
        """
        data: dict[str, object] = {
            "session_id": self.session_id,
            "status": str(self.status),
            "updated_at": iso(self.updated_at),
            "expires_at": iso(self.expires_at),
            "order_id": self.order_id,
            "klarna_reference": self.klarna_reference,
            "has_authorization_token": self.authorization_token is not None,
            "correlation_id": self.correlation_id,
            "read_at": iso(self.read_at),
        }
        if show_secrets:
            secrets = (self.authorization_token, self.customer, self.manual_identification)
            data |= zip(("authorization_token", "customer", "manual_identification"), map(_plain, secrets), strict=True)
        return data


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def iso(moment: datetime | None) -> str | None:
    """Return *moment* in the provider's own format of dates."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    if isinstance(value, Customer | ManualIdentification):
        return attrs.asdict(value, value_serializer=_plain_field)
    return value


def _plain_field(_: object, __: object, value: object) -> object:
    return iso(value) if isinstance(value, datetime) else value
