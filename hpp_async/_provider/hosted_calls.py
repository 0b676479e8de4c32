"""The Hosted Payment Page over HTTP: sessions are created, read, disabled, and their links are sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from hpp_async._core.session import FINAL, SessionStatus
from hpp_async._provider.answers import Answer, error, respond
from hpp_async._provider.life import LIFETIME, Life, Step, date, steps_of
from hpp_async._provider.payments import Payments
from hpp_async._provider.received import GoneError, Received
from hpp_async._provider.requests import SESSIONS, Creation, Distribution, page_path
from hpp_async._provider.words import Operation


def created(
    received: Received, payments: Payments, lives: Sequence[Life], *, steps: Iterable[Step], lifetime: timedelta
) -> Life:
    """
    Return the session that *received* asks for; its consumer does *steps*.

    Raises:
        GoneError: its payment session is not there, or paid.
        BadValueError: naming the first field that breaks a constraint.
    """
    request, moment = Creation.parse(received.body), received.moment
    payment_session_id = payments.hosted(request.payment_session_url, received, lives)
    if payment_session_id is not None:
        # Session lifetime page: both expire together, less an hour, whenever the HPP session was created.
        lifetime = min(lifetime, payments.sessions[payment_session_id].created_at + LIFETIME - moment)
    return Life(
        session_id=str(uuid.uuid4()),
        created_at=moment,
        lifetime=lifetime,
        steps=steps_of(steps),
        place_order_mode=request.mode,
        merchant=received.owner,
        merchant_urls=request.urls,
        page_title=request.page_title,
        payment_session_id=payment_session_id,
        categories=request.categories,
    )


def urls_of(life: Life, received: Received) -> Answer:
    """Return the answer to the creation of *life*."""
    session_url = f"{received.base_url}{SESSIONS}/{life.session_id}"
    urls = {
        "session_id": life.session_id,
        "session_url": session_url,
        "redirect_url": f"{received.base_url}{page_path(life.session_id)}",
        "distribution_url": f"{session_url}/distribution",
        "qr_code_url": f"{received.base_url}{page_path(life.session_id)}/qr",
        "expires_at": date(life.expiry(received.moment)),
    }
    return respond(201, {**received.headers, "Location": session_url}, urls)


def answer(life: Life | None, received: Received, *, lag: float, readable_for: timedelta) -> Answer:
    """
    Return the answer to *received*, which is about *life*; a read shows what was *lag* seconds ago.

    Raises:
        GoneError: there is no such session for this merchant, or it has expired.
        BadValueError: naming the first field that breaks a constraint.
    """
    moment, headers = received.moment, received.headers
    if life is None or life.merchant not in (None, received.merchant) or _is_gone(life, moment, readable_for):
        raise GoneError("Invalid session id")
    if received.operation != Operation.READ and moment >= life.expiry(moment):
        raise GoneError("HPP session has expired")
    match received.operation:
        case Operation.DISABLE:
            return _disabled(life, headers, moment)
        case Operation.DISTRIBUTE:
            return _distributed(life, received.body, headers, moment)
        case _:
            return respond(200, headers, life.reading(moment - timedelta(seconds=lag)))


def _is_gone(life: Life, moment: datetime, readable_for: timedelta) -> bool:
    return life.is_forgotten(moment) or moment > life.expiry(moment) + readable_for


def _disabled(life: Life, headers: Mapping[str, str], moment: datetime) -> Answer:
    status = life.status(moment)
    if status == SessionStatus.COMPLETED:
        # Disable page: 400 means that it was completed meanwhile.
        return error(400, headers, code="BAD_REQUEST", message="HPP session has already been successfully completed.")
    if status not in FINAL:
        life.change([Step(0.0, SessionStatus.DISABLED)], moment)
    return respond(204, headers)


def _distributed(life: Life, body: bytes, headers: Mapping[str, str], moment: datetime) -> Answer:
    if life.status(moment) == SessionStatus.DISABLED:
        return error(400, headers, code="BAD_REQUEST", message="HPP session is disabled.")
    life.distributions.append(Distribution.parse(body).method)
    return respond(204, headers)
