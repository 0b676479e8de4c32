"""What the provider said about a session, and the life cycle of a session as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

import attrs


class SessionStatus(StrEnum):
    """
    The provider's word for where a session is.

    Open: a word this version does not know survives as it came, is equal to itself, and is never final. Compare with
    ``==``, never with ``is``.
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

    @classmethod
    def _missing_(cls, value: object) -> SessionStatus | None:
        if not isinstance(value, str):
            return None
        # "Integrations must expect more values": a member of its own, not registered, so that a hostile provider
        # cannot make the enum grow.
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member

    @property
    def is_recognized(self) -> bool:
        """Whether this version of the library knows the word."""
        return self.value in SessionStatus.__members__

    @property
    def is_final(self) -> bool:
        """Whether the provider promises that no further change follows (tracking page)."""
        return self in FINAL


_STATUS_MAXIMUM: Final = 64


def is_status(text: str) -> bool:
    """Tell whether *text* can be a status: it goes into messages, logs and tokens, so not any text can."""
    return bool(text.strip()) and text.isprintable() and len(text) <= _STATUS_MAXIMUM


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


@attrs.frozen(kw_only=True, weakref_slot=False)
class Session:
    """
    One reading of a session.

    The provider marks no field as required, so each may be ``None``; so is one that came empty or broken (what came is
    in ``raw``). Times are aware and in UTC; one that came without a zone is taken as UTC. Neither ``repr`` nor any log
    shows tokens or personal data.

    Attributes:
        status: where the session is.
        updated_at: when it got there (or was last touched).
        expires_at: after which the consumer can no longer pay. It can move: each reading has its own.
        authorization_token: on COMPLETED with ``place_order_mode=NONE``; lives 60 minutes from ``updated_at``.
        order_id, klarna_reference: on COMPLETED with ``PLACE_ORDER`` or ``CAPTURE_ORDER``.
        correlation_id: the provider's id of this exchange; its support asks for it.
        read_at: when the answer was made, by the provider's clock (the ``Date`` header; where it is missing, by the
            best estimate the client has).
        raw: the mapping as it was received, decoded anew each time: thousands of open sessions keep theirs as bytes.
    """

    session_id: str | None = None
    status: SessionStatus
    updated_at: datetime | None = None
    expires_at: datetime | None = None
    authorization_token: str | None = attrs.field(default=None, repr=False)
    order_id: str | None = None
    klarna_reference: str | None = None
    customer: Customer | None = attrs.field(default=None, repr=False)
    manual_identification: ManualIdentification | None = attrs.field(default=None, repr=False)
    correlation_id: str | None = None
    read_at: datetime | None = None
    _raw: Mapping[str, object] | Callable[[], Mapping[str, object]] = attrs.field(
        alias="raw", factory=dict[str, object], repr=False, eq=False
    )

    @property
    def raw(self) -> Mapping[str, object]:
        """The mapping as it was received."""
        return self._raw() if callable(self._raw) else self._raw

    @property
    def expires_in(self) -> float | None:
        """Seconds from this reading to ``expires_at``, both by the provider's clock; negative once it has passed."""
        return _seconds(self.read_at, self.expires_at)

    @property
    def age(self) -> float | None:
        """Seconds from ``updated_at`` to this reading, both by the provider's clock."""
        return _seconds(self.updated_at, self.read_at)


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()
