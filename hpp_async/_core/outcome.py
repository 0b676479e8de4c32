"""Which outcome a session has."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from hpp_async._core.hidden import Hidden, hide
from hpp_async._core.history import Transition
from hpp_async._core.session import AnyStatus, Session, SessionStatus

_AUTHORIZATION_LIFETIME: Final = timedelta(minutes=60)  # read page: an authorization token lives 60 minutes


@attrs.frozen(kw_only=True)
class Outcome:
    """
    How a wait ended, decided by the session: what `AnyOutcome` has in common.

    For ``isinstance``; a value of its own cannot be made. ``match`` on the classes of `AnyOutcome`.

    Attributes:
        session: the reading that decided it.
        transitions: every change this wait saw, in order; those before ``since`` are not among them.

    Raises:
        TypeError: it is made itself, and not one of its subclasses.
    """

    session: Session
    transitions: tuple[Transition, ...] = ()

    def __attrs_pre_init__(self) -> None:
        if type(self) is Outcome:
            raise TypeError("Outcome is what all outcomes have in common: make one of AnyOutcome, such as Completed")

    @property
    def status(self) -> AnyStatus:
        """The status that decided it; for `Expired` the last one seen."""
        return self.session.status

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow. False for `Failed` and `Errored`: the session is still open to another try."""
        return self.session.status.is_final

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look at this session before money or goods move; see the subclasses."""
        return False

    def to_dict(self, *, show_secrets: bool = False) -> dict[str, object]:
        """
        Return the outcome as plain data, for a JSON answer, a queue or a log: its class's name, and its reading.

        See `Session.to_dict` for the reading and for *show_secrets*. The transitions are left out; each has a
        ``to_dict`` of its own.
        """
        return {
            "type": "outcome",
            "outcome": type(self).__name__,
            "is_final": self.is_final,
            "needs_attention": self.needs_attention,
            "confirmed": self.confirmed if isinstance(self, Expired) else None,
            **self.session.to_dict(show_secrets=show_secrets),
        }

    def __repr__(self) -> str:
        session, attention = self.session, ", needs attention" if self.needs_attention else ""
        seen = "1 transition" if len(self.transitions) == 1 else f"{len(self.transitions)} transitions"
        return f"<{type(self).__name__} session {session.session_id}: {session.status}, {seen}{attention}>"


@attrs.frozen(kw_only=True)
class PlacedOrder:
    """
    The provider has placed the order, as with ``place_order_mode`` ``PLACE_ORDER`` and ``CAPTURE_ORDER``.

    Attributes:
        order_id: the order.
        klarna_reference: the provider's short reference for it.
    """

    order_id: str
    klarna_reference: str | None = None


def _hidden_token(token: str | Hidden[str]) -> Hidden[str]:
    return hide(token)


@attrs.frozen(kw_only=True)
class Authorization:
    """
    The consumer has authorized the payment, and the order is yours to place, as with ``place_order_mode`` ``NONE``.

    Attributes:
        token: the order is placed with it. A secret, which ``repr`` and ``attrs.asdict`` do not show.
        expires_at: when the token runs out, an estimate: ``updated_at`` plus 60 minutes; ``None`` without that date.
    """

    _token: Hidden[str] = attrs.field(alias="token", converter=_hidden_token, repr=False)
    expires_at: datetime | None = None

    @property
    def token(self) -> str:
        """The order is placed with it. A secret."""
        return self._token()


# No field is added here and below, so what attrs made for Outcome serves; made anew it costs the import 0.3 ms a class.
class Completed(Outcome):
    """The consumer paid: ``payment`` is what to book it with."""

    __slots__ = ()

    @property
    def payment(self) -> PlacedOrder | Authorization | None:
        """
        The order, or what to place it with; ``None`` with neither, which `needs_attention`.

        Where a reading has both an order and a token it is the order: another one must not be placed.
        """
        session = self.session
        if session.order_id is not None:
            return PlacedOrder(order_id=session.order_id, klarna_reference=session.klarna_reference)
        if session.authorization_token is not None:
            return Authorization(token=session.authorization_token, expires_at=_expiry_of_authorization(session))
        return None

    @property
    def needs_attention(self) -> bool:
        """True without ``payment``: paid, and nothing here to book it with. Ask the provider."""
        return self.payment is None


def _expiry_of_authorization(session: Session) -> datetime | None:
    try:
        return None if session.updated_at is None else session.updated_at + _AUTHORIZATION_LIFETIME
    except OverflowError:
        return None


class Failed(Outcome):
    """Declined. Not final: the consumer may try again on the same page, and pay (tracking page)."""

    __slots__ = ()


class Cancelled(Outcome):
    """The consumer gave up, for good (tracking page)."""

    __slots__ = ()


class Errored(Outcome):
    """An error while paying. Not final: the consumer may try again on the same page, and pay (tracking page)."""

    __slots__ = ()


class Disabled(Outcome):
    """The merchant disabled the session by a call of its own."""

    __slots__ = ()


class Stopped(Outcome):
    """The session has a status that only the caller's own ``stop_on`` names, such as BACK. Not final."""

    __slots__ = ()


@attrs.frozen(kw_only=True, repr=False)
class Expired(Outcome):
    """
    ``expires_at`` passed without an outcome.

    Attributes:
        confirmed: True if a read after ``expires_at`` still showed an open status; False if it was inferred from a
            404, which the provider also answers for reasons of its own.
    """

    confirmed: bool

    @property
    def is_final(self) -> bool:
        """True: an expired session cannot be paid any more."""
        return True

    @property
    def needs_attention(self) -> bool:
        """
        True where the last reading speaks of more than an open session: a token, an order, an unknown status.

        Or of COMPLETED, known from ``since``, where no reading showed it again.
        """
        session = self.session
        is_open = session.status.is_recognized and session.status != SessionStatus.COMPLETED
        return bool(session.authorization_token or session.order_id) or not is_open


AnyOutcome = Completed | Failed | Cancelled | Errored | Disabled | Expired | Stopped
"""Every way in which a wait can end with a value; a checker knows when a ``match`` has them all."""

_OUTCOMES: Final[dict[AnyStatus, type[Completed | Failed | Cancelled | Errored | Disabled]]] = {
    SessionStatus.COMPLETED: Completed,
    SessionStatus.FAILED: Failed,
    SessionStatus.CANCELLED: Cancelled,
    SessionStatus.ERROR: Errored,
    SessionStatus.DISABLED: Disabled,
}


def outcome_of(session: Session, transitions: tuple[Transition, ...]) -> AnyOutcome:
    """Return the outcome that *session*, a reading in the stop set, decides."""
    return _OUTCOMES.get(session.status, Stopped)(session=session, transitions=transitions)
