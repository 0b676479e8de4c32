"""The outcomes that a session can have, and which status gives which."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import attrs

from hpp_async._core.hidden import Hidden, hide
from hpp_async._core.history import Transition
from hpp_async._core.session import AnyStatus, Session, SessionStatus

if TYPE_CHECKING:
    from hpp_async._core.orders.answers import AuthorizedPaymentMethod

_AUTHORIZATION_LIFETIME: Final = timedelta(minutes=60)  # read page: an authorization token lives 60 minutes


@attrs.frozen(kw_only=True)
class Outcome:
    """
    How a session ended, as far as a wait is concerned: the base class of all outcomes.

    It is for ``isinstance``, and cannot be instantiated itself. For ``match``, use the classes in `AnyOutcome`.

    Attributes:
        session: the reading that decided the outcome.
        transitions: the changes of status that this wait saw, in order. Those before ``since`` are left out; a watch
            leaves out those that it has yielded.

    Raises:
        TypeError: the base class itself is instantiated.
    """

    session: Session
    transitions: tuple[Transition, ...] = ()

    def __attrs_pre_init__(self) -> None:
        if type(self) is Outcome:
            raise TypeError("Outcome is the base class of all outcomes: instantiate one of them, such as Completed")

    @property
    def status(self) -> AnyStatus:
        """The status that decided the outcome; for `Expired`, the last one that was seen."""
        return self.session.status

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow. False for `Failed`, `Errored` and `Stopped`: the session is still open."""
        return self.session.status.is_final

    @property
    def needs_attention(self) -> bool:
        """Whether a person should check this session before money or goods move; see `Completed` and `Expired`."""
        return False

    def to_dict(self, *, show_secrets: bool = False) -> dict[str, object]:
        """
        Return the outcome as plain data, for a JSON answer, a queue or a log: the class name and the reading.

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
    An order that was placed: by the provider, or by `HPPClient.place_order`.

    A reading of a session has the first two fields alone, with ``place_order_mode`` ``PLACE_ORDER`` and
    ``CAPTURE_ORDER``; the answer to `HPPClient.place_order` has all but ``klarna_reference``.

    Attributes:
        order_id: the provider's id of the order.
        klarna_reference: the provider's short reference for the order.
        fraud_status: what the provider makes of the order, such as `FraudStatus.PENDING`: placed is not accepted.
        redirect_url: where to send the consumer's browser next, if anywhere; the provider recognizes it later.
        authorized_payment_method: how the consumer pays.
        correlation_id: the provider's id of the exchange; its support asks for it.
    """

    order_id: str
    klarna_reference: str | None = None
    fraud_status: str | None = None
    redirect_url: str | None = attrs.field(default=None, repr=False)
    authorized_payment_method: AuthorizedPaymentMethod | None = attrs.field(default=None, repr=False)
    correlation_id: str | None = attrs.field(default=None, repr=False)

    @property
    def is_accepted(self) -> bool | None:
        """Whether the order may be captured; ``None`` where nothing was said of it, as in a reading of a session."""
        return None if self.fraud_status is None else self.fraud_status == "ACCEPTED"


def _hidden_token(token: str | Hidden[str]) -> Hidden[str]:
    return hide(token)


@attrs.frozen(kw_only=True)
class Authorization:
    """
    The consumer has authorized the payment, and you have to place the order, as with ``place_order_mode`` ``NONE``.

    Attributes:
        token: the authorization token, which places the order. A secret: ``repr`` and ``attrs.asdict`` do not show it.
        expires_at: when the token expires, by estimate: 60 minutes after ``updated_at``; ``None`` without that date.
    """

    _token: Hidden[str] = attrs.field(alias="token", converter=_hidden_token, repr=False)
    expires_at: datetime | None = None

    @property
    def token(self) -> str:
        """The authorization token, which places the order. A secret."""
        return self._token()


# The classes from Completed to Stopped add no fields, so the methods that attrs made for Outcome serve them, too.
# Methods of their own would cost 0.3 ms of import time a class.
class Completed(Outcome):
    """The consumer has paid; ``payment`` says how to book the payment."""

    __slots__ = ()

    @property
    def payment(self) -> PlacedOrder | Authorization | None:
        """
        The placed order, or the authorization to place it; ``None`` where the reading has neither.

        An outcome without one `needs_attention`. Where the reading has both an order and a token, this is the order,
        because a second one must not be placed.
        """
        session = self.session
        if session.order_id is not None:
            return PlacedOrder(order_id=session.order_id, klarna_reference=session.klarna_reference)
        if session.authorization_token is not None:
            return Authorization(token=session.authorization_token, expires_at=_expiry_of_authorization(session))
        return None

    @property
    def needs_attention(self) -> bool:
        """True where ``payment`` is ``None``: the consumer has paid, and there is nothing to book. Ask the provider."""
        return self.payment is None


def _expiry_of_authorization(session: Session) -> datetime | None:
    try:
        return None if session.updated_at is None else session.updated_at + _AUTHORIZATION_LIFETIME
    except OverflowError:
        return None


class Failed(Outcome):
    """The payment was declined. Not final: the consumer may try again on the same page, and pay (tracking page)."""

    __slots__ = ()


class Cancelled(Outcome):
    """The consumer gave up, for good (tracking page)."""

    __slots__ = ()


class Errored(Outcome):
    """The payment met an error. Not final: the consumer may try again on the same page, and pay (tracking page)."""

    __slots__ = ()


class Disabled(Outcome):
    """The merchant disabled the session by an API call. Nobody can pay it any more."""

    __slots__ = ()


class Stopped(Outcome):
    """The session has a status that only the caller's own ``stop_on`` names, such as BACK. Not final."""

    __slots__ = ()


@attrs.frozen(kw_only=True, repr=False)
class Expired(Outcome):
    """
    ``expires_at`` passed without an outcome.

    Attributes:
        confirmed: True if readings after ``expires_at`` still showed an open status; False if the expiry was inferred
            from a 404, which the provider also answers for other reasons.
    """

    confirmed: bool

    @property
    def is_final(self) -> bool:
        """True: an expired session cannot be paid any more."""
        return True

    @property
    def needs_attention(self) -> bool:
        """
        True where the session may have been paid all the same.

        That is so where the last reading has a token, an order or an unknown status, or where ``since`` says COMPLETED
        and no reading showed it again.
        """
        session = self.session
        is_unpaid = session.status.is_recognized and session.status != SessionStatus.COMPLETED
        return bool(session.authorization_token or session.order_id) or not is_unpaid


AnyOutcome = Completed | Failed | Cancelled | Errored | Disabled | Expired | Stopped
"""Every outcome that a wait can have. A type checker knows whether a ``match`` handles all of them."""

_OUTCOMES: Final[dict[AnyStatus, type[Completed | Failed | Cancelled | Errored | Disabled]]] = {
    SessionStatus.COMPLETED: Completed,
    SessionStatus.FAILED: Failed,
    SessionStatus.CANCELLED: Cancelled,
    SessionStatus.ERROR: Errored,
    SessionStatus.DISABLED: Disabled,
}


def outcome_of(session: Session, transitions: tuple[Transition, ...]) -> AnyOutcome:
    """Return the outcome of *session*, a reading whose status ends the wait."""
    return _OUTCOMES.get(session.status, Stopped)(session=session, transitions=transitions)
