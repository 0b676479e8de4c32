"""
Payment sessions, authorizations and orders: what the Payments API knows, and its rules.

A payment session has the cart. An HPP session that is completed without an order has an authorization, whose token
lives for an hour; only the newest token of a payment session counts. Authorizations are not stored: they follow from
the lives of the HPP sessions. What is stored is what was done with their tokens.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

import attrs

from hpp_async._core.session import SessionStatus
from hpp_async._provider.carts import Cart, first_fault, stored
from hpp_async._provider.life import LIFETIME, Life
from hpp_async._provider.received import GoneError, Received
from hpp_async._provider.requests import PAYMENT_SESSIONS, BadValueError, parsed

FraudStatus = Literal["ACCEPTED", "PENDING", "REJECTED"]
FraudDecision = Literal["ACCEPTED", "REJECTED"]
DECIDED_AFTER: Final = timedelta(hours=4)  # pending orders page: 4 to 8 hours, as a rule
PAYMENT_LIFETIME: Final = timedelta(hours=48)  # session lifetime page
AUTHORIZATION_LIFETIME: Final = timedelta(minutes=60)
CATEGORIES: Final[Mapping[str, str]] = {
    "pay_now": "Pay now",
    "pay_later": "Pay later",
    "pay_over_time": "Pay over time",
}
"""The ways to pay that every payment session offers, with their names."""
_HIDDEN: Final = frozenset({"national_identification_number", "last_four_ssn"})
"""What a read of a payment session does not show of the customer (``customer_read``)."""


@attrs.define(kw_only=True)
class PaymentSession:
    """A payment session; *fields* are those that the merchant sent last, and *merchant* the only one that has it."""

    session_id: str
    created_at: datetime
    fields: dict[str, Any] = attrs.field(repr=False)
    merchant: str | None = None

    @property
    def cart(self) -> Cart:
        """What is to be paid."""
        return parsed(self.fields, Cart)

    def has_expired(self, moment: datetime) -> bool:
        """Tell whether the session can no longer be used at *moment*."""
        return moment >= self.created_at + PAYMENT_LIFETIME

    def reading(self) -> dict[str, Any]:
        """Return the fields as a read shows them."""
        shown = {name: value for name, value in self.fields.items() if name != "auto_capture"}  # a field of orders
        if "customer" in shown:
            customer: dict[str, object] = self.fields["customer"]
            shown["customer"] = {name: value for name, value in customer.items() if name not in _HIDDEN}
        return shown


@attrs.define
class TokenUse:
    """
    What was done with an authorization token.

    Attributes:
        answers: status code and body of the first answer to each body that was sent, by the body's digest.
        order: the fields that an order was placed with.
        is_released: whether the authorization was cancelled.
    """

    answers: dict[str, tuple[int, str]] = attrs.field(factory=dict[str, tuple[int, str]])
    order: dict[str, Any] | None = None
    is_released: bool = False


@attrs.define(kw_only=True)
class Payments:
    """
    The payment sessions of a provider, and the orders that are placed with their authorizations.

    Args:
        fraud_status: what the provider says of new orders.
        fraud_decision: what becomes of orders that are pending.
        decided_after: how long orders are pending.

    Attributes:
        sessions: by their ids.
        uses: what was done with authorization tokens, by token.
    """

    fraud_status: FraudStatus = "ACCEPTED"
    fraud_decision: FraudDecision = "ACCEPTED"
    decided_after: timedelta = DECIDED_AFTER
    sessions: dict[str, PaymentSession] = attrs.field(init=False, repr=False, factory=dict[str, PaymentSession])
    uses: dict[str, TokenUse] = attrs.field(init=False, repr=False, factory=dict[str, TokenUse])

    def clear(self) -> None:
        """Forget all sessions and orders."""
        self.sessions.clear()
        self.uses.clear()

    # -- payment sessions ---------------------------------------------------------------------------------------------

    def session(self, session_id: str, received: Received) -> PaymentSession:
        """
        Return the payment session with this id.

        Raises:
            GoneError: it has expired, belongs to another merchant or was never created.
        """
        session = self.sessions.get(session_id)
        if session is None or session.merchant not in (None, received.merchant) or session.has_expired(received.moment):
            raise GoneError("Invalid session id")
        return session

    def hosted(self, url: str, received: Received, lives: Iterable[Life]) -> str | None:
        """
        Return the id of the payment session at *url*, which an HPP session is made for.

        ``None`` is a payment session that this provider cannot know: one on another host, or one with a made-up id such
        as ``1``, which stands for any payment session.

        Raises:
            GoneError: it has expired, is paid, belongs to another merchant or was never created.
        """
        found = re.search(rf"{PAYMENT_SESSIONS}/([^/?#]+)$", url)
        if found is None:
            return None
        if found[1] not in self.sessions:
            if url.startswith(f"{received.base_url}/") and _is_given_out(found[1]):
                raise GoneError("Payment session has expired")
            return None
        session = self.session(found[1], received)
        if received.moment >= session.created_at + LIFETIME:
            raise GoneError("Payment session has expired")
        self.check_is_open(session, lives, received.moment)
        return session.session_id

    def cart_of(self, life: Life) -> Cart | None:
        """Return what the consumer of an HPP session pays for, where that is known."""
        session = self.sessions.get(life.payment_session_id or "")
        return None if session is None else session.cart

    def is_complete(self, session: PaymentSession, lives: Iterable[Life], moment: datetime) -> bool:
        """Tell whether an order was placed for *session*."""
        return any(self.order_of(life, moment) for life in lives if life.payment_session_id == session.session_id)

    def check_is_open(self, session: PaymentSession, lives: Iterable[Life], moment: datetime) -> None:
        """
        Check that no order was placed for *session*.

        Raises:
            GoneError: one was.
        """
        if self.is_complete(session, lives, moment):
            raise GoneError("Session has already been completed", "SESSION_COMPLETED")

    # -- authorizations -----------------------------------------------------------------------------------------------

    def order_of(self, life: Life, moment: datetime) -> str | None:
        """Return the id of the order that was placed for an HPP session, by the provider or with its token."""
        if life.status(moment) != SessionStatus.COMPLETED:
            return None
        placed, token = life.reading(moment).get("order_id"), life.token(moment)
        if placed:
            return str(placed)
        return order_id_of(token) if token is not None and self.uses.get(token, TokenUse()).order else None

    def check_is_usable(self, life: Life, lives: Iterable[Life], moment: datetime) -> None:
        """
        Check that an order can be placed with the token of *life*.

        Raises:
            GoneError: its hour is over, it was cancelled, its payment session has a newer one, or that has an order.
        """
        lives = list(lives)
        session = self.sessions.get(life.payment_session_id or "")
        if session is not None:
            self.check_is_open(session, lives, moment)
        is_newest = session is None or self.newest(session.session_id, lives, moment) is life
        is_alive = moment < life.updated_at(moment) + AUTHORIZATION_LIFETIME
        is_released = self.uses.get(life.token(moment) or "", TokenUse()).is_released
        if not is_newest or not is_alive or is_released:
            raise GoneError("Invalid authorization token")

    def newest(self, session_id: str, lives: Iterable[Life], moment: datetime) -> Life | None:
        """Return the HPP session with the newest token of the payment session with this id."""
        authorized = [life for life in lives if life.payment_session_id == session_id and life.token(moment)]
        return max(authorized, key=lambda life: life.updated_at(moment), default=None)


def order_id_of(token: str) -> str:
    """Return the id of the order that is placed with *token*."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{token}/order"))


def checked(request: object) -> dict[str, Any]:
    """
    Return the fields of *request*, a cart, that are stored.

    Raises:
        BadValueError: naming the first field that breaks a constraint.
    """
    wrong = first_fault(parsed(request, Cart))
    if wrong is not None:
        raise BadValueError(wrong)
    return stored(cast("dict[str, object]", request))


def _is_given_out(text: str) -> bool:
    """Tell whether *text* is an id as the provider gives them out."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
