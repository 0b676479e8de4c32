"""What an authorization token is used for over HTTP: an order, a customer token, or nothing any more."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

import attrs

from hpp_async._provider.answers import Answer, error, respond
from hpp_async._provider.callbacks import Callbacks, OrderNotification
from hpp_async._provider.carts import Cart, not_matching
from hpp_async._provider.customer_tokens import CustomerTokenRequest
from hpp_async._provider.life import Life
from hpp_async._provider.payments import Payments, TokenUse, checked, order_id_of
from hpp_async._provider.received import GoneError, Received
from hpp_async._provider.requests import BadValueError, as_json, parsed

_SHOWN_OF_CUSTOMER: Final = ("date_of_birth", "gender")  # ``customer_read_create_token``


def place(payments: Payments, received: Received, lives: Sequence[Life], callbacks: Callbacks) -> Answer:
    """
    Place an order, or repeat the first answer to the same order.

    If the order is pending, the decision on it is planned among *callbacks*.

    Raises:
        GoneError: there is no such authorization, or it cannot be used any more.
    """
    life = _authorized(received, lives)
    use, digest = payments.uses.get(received.resource, TokenUse()), _digest(received.body)
    if digest in use.answers:  # a repeat gets the first answer, be it an error
        status_code, body = use.answers[digest]
        return respond(status_code, received.headers, json.loads(body))
    if not use.order:
        payments.check_is_usable(life, lives, received.moment)
    try:
        fields = checked(as_json(received.body))
        answer = _order(payments, life, fields, use, received)
    except BadValueError as refusal:
        answer = error(400, received.headers, message=f"Bad value: {refusal}")
    else:
        if answer.status_code == 200:
            use.order = fields
            callbacks.planned += _decision(payments, life, fields, received)
    use.answers[digest] = (answer.status_code, answer.body.decode())
    payments.uses[received.resource] = use
    return answer


def _order(payments: Payments, life: Life, fields: dict[str, Any], use: TokenUse, received: Received) -> Answer:
    cart, session = parsed(fields, Cart), payments.sessions.get(life.payment_session_id or "")
    # What was authorized is known where this provider has the payment session, or after the first order.
    authorized = use.order or (None if session is None else session.fields)
    different = [] if authorized is None else not_matching(cart, parsed(authorized, Cart))
    if different:
        return _not_matching(different, received)
    if use.order:
        return _consumed(received)
    order_id = order_id_of(received.resource)
    body: dict[str, object] = {
        "order_id": order_id,
        "fraud_status": payments.fraud_status,
        "authorized_payment_method": {"type": "invoice"},
    }
    confirmation = _filled(fields.get("merchant_urls", {}), "confirmation", life, order_id)
    if confirmation is not None:
        body["redirect_url"] = confirmation
    return respond(200, received.headers, body)


def _decision(payments: Payments, life: Life, fields: Mapping[str, Any], received: Received) -> list[OrderNotification]:
    """Return the notification that is due when the provider has decided on the order, if somebody is to be notified."""
    session, order_id = payments.sessions.get(life.payment_session_id or ""), order_id_of(received.resource)
    urls: dict[str, object] = {} if session is None else session.fields.get("merchant_urls", {})
    url = _filled(urls | fields.get("merchant_urls", {}), "notification", life, order_id)
    if payments.fraud_status != "PENDING" or url is None:
        return []
    event_type = f"FRAUD_RISK_{payments.fraud_decision}"
    return [
        OrderNotification(
            session_id=life.session_id,
            order_id=order_id,
            event_type=event_type,
            url=url,
            body=json.dumps({"order_id": order_id, "event_type": event_type}).encode(),
            call=1,
            due_at=received.moment + payments.decided_after,
        )
    ]


def _filled(urls: Mapping[str, object], name: str, life: Life, order_id: str) -> str | None:
    """Return one of the URLs of an order with its placeholders filled in."""
    url = urls.get(name)
    if not isinstance(url, str):
        return None
    return url.replace("{order.id}", order_id).replace("{session.id}", life.payment_session_id or "")


def create_customer_token(payments: Payments, received: Received, lives: Sequence[Life]) -> Answer:
    """
    Create a customer token with an authorization, which can still place an order; a repeat gets the same token.

    Raises:
        GoneError: there is no such authorization, or it cannot be used any more.
        BadValueError: naming the first field that breaks a constraint.
    """
    life = _usable(payments, received, lives)
    if life is None:
        return _consumed(received)
    request = CustomerTokenRequest.parse(received.body)
    cart = payments.cart_of(life)
    different = [] if cart is None else request.not_matching(cart)
    if different:
        return _not_matching(different, received)
    body: dict[str, object] = {
        name: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{received.resource}/{name}"))
        for name in ("token_id", "payment_method_reference")
    }
    if request.billing_address is not None:
        body["billing_address"] = request.billing_address
    if request.customer is not None:
        body["customer"] = {name: request.customer[name] for name in _SHOWN_OF_CUSTOMER if name in request.customer}
    return respond(200, received.headers, body)


def release(payments: Payments, received: Received, lives: Sequence[Life]) -> Answer:
    """
    Cancel an authorization.

    Raises:
        GoneError: there is no such authorization, or it cannot be used any more.
    """
    if _usable(payments, received, lives) is None:
        return _consumed(received)
    use = payments.uses.get(received.resource, TokenUse())
    payments.uses[received.resource] = attrs.evolve(use, is_released=True)
    return respond(204, received.headers)


def _usable(payments: Payments, received: Received, lives: Sequence[Life]) -> Life | None:
    """Return the HPP session whose token is asked for; ``None`` if an order was placed with it."""
    life = _authorized(received, lives)
    if payments.uses.get(received.resource, TokenUse()).order:
        return None
    payments.check_is_usable(life, lives, received.moment)
    return life


def _authorized(received: Received, lives: Sequence[Life]) -> Life:
    """Return the HPP session with the token that is asked for, whether or not it can still be used."""
    for life in lives:
        if life.merchant in (None, received.merchant) and life.token(received.moment) == received.resource:
            return life
    raise GoneError("Invalid authorization token")


def _consumed(received: Received) -> Answer:
    return error(403, received.headers, message="Authorization token already consumed")


def _not_matching(different: Sequence[str], received: Received) -> Answer:
    message = f"Not matching fields: [{', '.join(different)}]"
    return error(409, received.headers, code="BAD_VALUE", message=message)


def _digest(body: bytes) -> str:
    """Return a digest of *body* that neither spaces nor the order of keys change."""
    with suppress(ValueError, RecursionError):  # then it is refused, and that answer is remembered, too
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    return sha256(body).hexdigest()
