"""
The Payments API: payment sessions, authorizations, and the orders that are placed with them.

A payment session has the cart. An HPP session that is completed without an order has an authorization, whose token
lives for an hour; only the newest token of a payment session counts. Authorizations are not stored: they follow from
the lives of the HPP sessions. What is stored is what was done with their tokens.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Literal, cast

import attrs

from hpp_async._core.session import SessionStatus
from hpp_async._provider.answers import Answer, error, respond
from hpp_async._provider.carts import Cart, first_fault, not_matching, stored
from hpp_async._provider.faults import Operation
from hpp_async._provider.life import LIFETIME, Life, date
from hpp_async._provider.requests import PAYMENT_SESSIONS, BadValueError, as_json, parsed

FraudStatus = Literal["ACCEPTED", "PENDING", "REJECTED"]
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


@attrs.frozen(kw_only=True)
class Received:
    """A request from a merchant whose credentials are right, and the headers of its answer."""

    operation: Operation
    resource: str
    body: bytes
    merchant: str
    moment: datetime
    headers: Mapping[str, str]
    base_url: str


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


class GoneError(Exception):
    """What is asked for does not exist for this merchant: 404."""

    def __init__(self, message: str, code: str = "NOT_FOUND") -> None:
        super().__init__(message)
        self.code = code


@attrs.define(kw_only=True)
class Payments:
    """
    The payment sessions of a provider, and the orders that are placed with their authorizations.

    Args:
        fraud_status: what the provider says of new orders.

    Attributes:
        sessions: by their ids.
        uses: what was done with authorization tokens, by token.
    """

    fraud_status: FraudStatus = "ACCEPTED"
    sessions: dict[str, PaymentSession] = attrs.field(init=False, repr=False, factory=dict[str, PaymentSession])
    uses: dict[str, TokenUse] = attrs.field(init=False, repr=False, factory=dict[str, TokenUse])

    def answer(self, received: Received, lives: Iterable[Life], *, owner: str | None) -> Answer:
        """
        Return the answer to *received*, given the *lives* of all HPP sessions.

        Payment sessions that are created belong to *owner*; ``None`` is every merchant.
        """
        known = list(lives)
        try:
            match received.operation:
                case Operation.CREATE_PAYMENT_SESSION:
                    return self._created(received, owner)
                case Operation.READ_PAYMENT_SESSION:
                    return self._read(received, known)
                case Operation.UPDATE_PAYMENT_SESSION:
                    return self._updated(received, known)
                case Operation.PLACE_ORDER:
                    return self._placed(received, known)
                case _:
                    return self._released(received, known)
        except GoneError as gone:
            return error(404, received.headers, code=gone.code, message=str(gone))

    def clear(self) -> None:
        """Forget all sessions and orders."""
        self.sessions.clear()
        self.uses.clear()

    # -- payment sessions ---------------------------------------------------------------------------------------------

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
        merchant, moment = received.merchant, received.moment
        session = self.sessions.get(found[1])
        if session is None:
            if url.startswith(f"{received.base_url}/") and _is_given_out(found[1]):
                raise GoneError("Payment session has expired")
            return None
        self._check(session, merchant, moment)
        if moment >= session.created_at + LIFETIME:
            raise GoneError("Payment session has expired")
        if self.is_complete(session, lives, moment):
            raise GoneError("Session has already been completed", "SESSION_COMPLETED")
        return session.session_id

    def cart_of(self, life: Life) -> Cart | None:
        """Return what the consumer of an HPP session pays for, where that is known."""
        session = self.sessions.get(life.payment_session_id or "")
        return None if session is None else session.cart

    def is_complete(self, session: PaymentSession, lives: Iterable[Life], moment: datetime) -> bool:
        """Tell whether an order was placed for *session*."""
        return any(self.order_of(life, moment) for life in lives if life.payment_session_id == session.session_id)

    def order_of(self, life: Life, moment: datetime) -> str | None:
        """Return the id of the order that was placed for an HPP session, by the provider or with its token."""
        if life.status(moment) != SessionStatus.COMPLETED:
            return None
        placed, token = life.reading(moment).get("order_id"), life.token(moment)
        if placed:
            return str(placed)
        return _order_id(token) if token is not None and self.uses.get(token, TokenUse()).order else None

    def _created(self, received: Received, owner: str | None) -> Answer:
        fields = _checked(as_json(received.body))
        session = PaymentSession(
            session_id=str(uuid.uuid4()), created_at=received.moment, fields=fields, merchant=owner
        )
        self.sessions[session.session_id] = session
        body = {
            "session_id": session.session_id,
            "client_token": _client_token(session),
            "payment_method_categories": _categories(),
        }
        return respond(200, received.headers, body)

    def _read(self, received: Received, lives: list[Life]) -> Answer:
        session = self._session(received)
        is_complete = self.is_complete(session, lives, received.moment)
        body: dict[str, Any] = session.reading() | {
            "client_token": _client_token(session),
            "expires_at": date(session.created_at + PAYMENT_LIFETIME),
            "payment_method_categories": _categories(),
            "status": "complete" if is_complete else "incomplete",
        }
        newest = self._newest(session.session_id, lives, received.moment)
        if newest is not None and self._reason_against(newest, lives, received.moment) is None:
            body["authorization_token"] = newest.token(received.moment)
        return respond(200, received.headers, body)

    def _updated(self, received: Received, lives: list[Life]) -> Answer:
        session = self._session(received)
        if self.is_complete(session, lives, received.moment):
            raise GoneError("Session has already been completed", "SESSION_COMPLETED")
        request = as_json(received.body)
        if not isinstance(request, dict):
            raise BadValueError("body")
        session.fields = _checked(session.fields | stored(cast("dict[str, object]", request)))
        return respond(204, received.headers)

    def _session(self, received: Received) -> PaymentSession:
        session = self.sessions.get(received.resource)
        if session is None:
            raise GoneError("Invalid session id")
        self._check(session, received.merchant, received.moment)
        return session

    def _check(self, session: PaymentSession, merchant: str, moment: datetime) -> None:
        if session.merchant not in (None, merchant) or session.has_expired(moment):
            raise GoneError("Invalid session id")

    # -- authorizations -----------------------------------------------------------------------------------------------

    def _placed(self, received: Received, lives: list[Life]) -> Answer:
        life = self._authorized(received, lives)
        use, digest = self.uses.get(received.resource, TokenUse()), _digest(received.body)
        if digest in use.answers:  # a repeat gets the first answer, be it an error
            status_code, body = use.answers[digest]
            return respond(status_code, received.headers, json.loads(body))
        reason = None if use.order else self._reason_against(life, lives, received.moment)
        if reason is not None:
            raise reason
        try:
            fields = _checked(as_json(received.body))
            answer = self._order(life, fields, use, received)
        except BadValueError as refusal:
            answer = error(400, received.headers, message=f"Bad value: {refusal}")
        else:
            use.order = fields if answer.status_code == 200 else use.order
        use.answers[digest] = (answer.status_code, answer.body.decode())
        self.uses[received.resource] = use
        return answer

    def _order(self, life: Life, fields: dict[str, Any], use: TokenUse, received: Received) -> Answer:
        cart, session = parsed(fields, Cart), self.sessions.get(life.payment_session_id or "")
        # What was authorized is known where this provider has the payment session, or after the first order.
        authorized = use.order or (None if session is None else session.fields)
        different = [] if authorized is None else not_matching(cart, parsed(authorized, Cart))
        if different:
            names = ", ".join(different)
            return error(409, received.headers, code="BAD_VALUE", message=f"Not matching fields: [{names}]")
        if use.order:
            return _consumed(received)
        order_id = _order_id(received.resource)
        body: dict[str, object] = {
            "order_id": order_id,
            "fraud_status": self.fraud_status,
            "authorized_payment_method": {"type": "invoice"},
        }
        confirmation = (cart.merchant_urls or {}).get("confirmation")
        if isinstance(confirmation, str):
            session_id = life.payment_session_id or ""
            body["redirect_url"] = confirmation.replace("{order.id}", order_id).replace("{session.id}", session_id)
        return respond(200, received.headers, body)

    def _released(self, received: Received, lives: list[Life]) -> Answer:
        life = self._authorized(received, lives)
        use = self.uses.get(received.resource, TokenUse())
        if use.order:
            return _consumed(received)
        reason = self._reason_against(life, lives, received.moment)
        if reason is not None:
            raise reason
        self.uses[received.resource] = attrs.evolve(use, is_released=True)
        return respond(204, received.headers)

    def _authorized(self, received: Received, lives: list[Life]) -> Life:
        """Return the HPP session with the token that is asked for, whether or not it can still be used."""
        for life in lives:
            if life.merchant in (None, received.merchant) and life.token(received.moment) == received.resource:
                return life
        raise GoneError("Invalid authorization token")

    def _reason_against(self, life: Life, lives: list[Life], moment: datetime) -> GoneError | None:
        """
        Return why no order can be placed with the token of *life*; ``None`` if one can.

        Its hour is over, it was cancelled, its payment session has a newer one, or that has an order.
        """
        session = self.sessions.get(life.payment_session_id or "")
        if session is not None and self.is_complete(session, lives, moment):
            return GoneError("Session has already been completed", "SESSION_COMPLETED")
        is_newest = session is None or self._newest(session.session_id, lives, moment) is life
        is_alive = moment < life.updated_at(moment) + AUTHORIZATION_LIFETIME
        is_released = self.uses.get(life.token(moment) or "", TokenUse()).is_released
        return None if is_newest and is_alive and not is_released else GoneError("Invalid authorization token")

    def _newest(self, session_id: str, lives: list[Life], moment: datetime) -> Life | None:
        """Return the HPP session with the newest token of the payment session with this id."""
        authorized = [life for life in lives if life.payment_session_id == session_id and life.token(moment)]
        return max(authorized, key=lambda life: life.updated_at(moment), default=None)


def _consumed(received: Received) -> Answer:
    return error(403, received.headers, message="Authorization token already consumed")


def _is_given_out(text: str) -> bool:
    """Tell whether *text* is an id as the provider gives them out."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _checked(request: object) -> dict[str, Any]:
    """
    Return the fields of *request* that are stored.

    Raises:
        BadValueError: naming the first field that breaks a constraint.
    """
    wrong = first_fault(parsed(request, Cart))
    if wrong is not None:
        raise BadValueError(wrong)
    return stored(cast("dict[str, object]", request))


def _categories() -> list[dict[str, str]]:
    return [{"identifier": identifier, "name": name} for identifier, name in CATEGORIES.items()]


def _client_token(session: PaymentSession) -> str:
    return f"simulated.{uuid.uuid5(uuid.NAMESPACE_URL, session.session_id)}"


def _order_id(token: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{token}/order"))


def _digest(body: bytes) -> str:
    """Return a digest of *body* that neither spaces nor the order of keys change."""
    with suppress(ValueError, RecursionError):  # then it is refused, and that answer is remembered, too
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    return sha256(body).hexdigest()
