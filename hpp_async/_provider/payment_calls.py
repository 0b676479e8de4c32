"""The Payments API over HTTP: payment sessions are created, read and changed; authorizations are used."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from hpp_async._provider.answers import Answer, respond
from hpp_async._provider.authorization_calls import create_customer_token, place, release
from hpp_async._provider.callbacks import Callbacks
from hpp_async._provider.carts import stored
from hpp_async._provider.life import Life, date
from hpp_async._provider.payments import CATEGORIES, PAYMENT_LIFETIME, Payments, PaymentSession, checked
from hpp_async._provider.received import GoneError, Received
from hpp_async._provider.requests import BadValueError, as_json
from hpp_async._provider.words import Operation


def answer(payments: Payments, received: Received, lives: Sequence[Life], callbacks: Callbacks) -> Answer:
    """
    Return the answer to *received*, given the *lives* of all HPP sessions; an order can plan one of *callbacks*.

    Raises:
        GoneError: what is asked for does not exist for this merchant.
        BadValueError: naming the first field that breaks a constraint.
    """
    match received.operation:
        case Operation.CREATE_PAYMENT_SESSION:
            return _create(payments, received)
        case Operation.READ_PAYMENT_SESSION:
            return _read(payments, received, lives)
        case Operation.UPDATE_PAYMENT_SESSION:
            return _update(payments, received, lives)
        case Operation.PLACE_ORDER:
            return place(payments, received, lives, callbacks)
        case Operation.CREATE_CUSTOMER_TOKEN:
            return create_customer_token(payments, received, lives)
        case _:
            return release(payments, received, lives)


def _create(payments: Payments, received: Received) -> Answer:
    fields = checked(as_json(received.body))
    session = PaymentSession(
        session_id=str(uuid.uuid4()), created_at=received.moment, fields=fields, merchant=received.owner
    )
    payments.sessions[session.session_id] = session
    body = {
        "session_id": session.session_id,
        "client_token": _client_token(session),
        "payment_method_categories": _categories(),
    }
    return respond(200, received.headers, body)


def _read(payments: Payments, received: Received, lives: Sequence[Life]) -> Answer:
    session, moment = payments.session(received.resource, received), received.moment
    body: dict[str, Any] = session.reading() | {
        "client_token": _client_token(session),
        "expires_at": date(session.created_at + PAYMENT_LIFETIME),
        "payment_method_categories": _categories(),
        "status": "complete" if payments.is_complete(session, lives, moment) else "incomplete",
    }
    newest = payments.newest(session.session_id, lives, moment)
    if newest is not None:
        with suppress(GoneError):
            payments.check_is_usable(newest, lives, moment)
            body["authorization_token"] = newest.token(moment)
    return respond(200, received.headers, body)


def _update(payments: Payments, received: Received, lives: Sequence[Life]) -> Answer:
    session = payments.session(received.resource, received)
    payments.check_is_open(session, lives, received.moment)
    request = as_json(received.body)
    if not isinstance(request, dict):
        raise BadValueError("body")
    session.fields = checked(session.fields | stored(cast("dict[str, object]", request)))
    return respond(204, received.headers)


def _categories() -> list[dict[str, str]]:
    return [{"identifier": identifier, "name": name} for identifier, name in CATEGORIES.items()]


def _client_token(session: PaymentSession) -> str:
    return f"simulated.{uuid.uuid5(uuid.NAMESPACE_URL, session.session_id)}"
