"""What an order is placed with, and why the provider would not place one."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import attrs

from hpp_async._core.exceptions import OrderRefusal, OrderRefusedError, ResponseError
from hpp_async._core.outcome import Authorization, Completed, Outcome, PlacedOrder

_TOKEN: Final = re.compile(r"(?!\.+$)[A-Za-z0-9._~-]{1,1024}", re.ASCII)


@attrs.frozen
class NothingToPlace:
    """The reason. It is no error: the frames that look at a token must not raise."""

    why: str


def authorization_in(payment: object) -> tuple[Authorization, str | None] | NothingToPlace:
    """Return what the order is placed with, and the session's id where *payment* knows it."""
    match payment:
        case Completed(payment=Authorization() as authorization):
            return _checked(authorization, payment.session.session_id)
        case Completed(payment=PlacedOrder()):
            return NothingToPlace("the provider has placed the order already: book outcome.payment.order_id")
        case Completed():
            return NothingToPlace("the outcome has neither an order nor a token, and needs attention: ask the provider")
        case Outcome():
            return NothingToPlace(f"the outcome is {type(payment).__name__}, and only what was Completed can be placed")
        case Authorization():
            return _checked(payment, None)
        case str():
            return _checked(Authorization(token=payment), None)
        case _:
            return NothingToPlace(f"it is a {type(payment).__name__}: give a Completed, an Authorization or a token")


def _checked(authorization: Authorization, session_id: str | None) -> tuple[Authorization, str | None] | NothingToPlace:
    if not _TOKEN.fullmatch(authorization.token):
        return NothingToPlace("the authorization token has characters that no token has: was it copied whole?")
    return authorization, session_id


_ADVICE: Final[dict[OrderRefusal, str]] = {
    "expired": (
        "the authorization token has expired, as it lives 60 minutes. Read the payment session: if it is complete, an "
        "order was placed; if not, the consumer has to authorize the payment anew"
    ),
    "superseded": (
        "the authorization token is unknown, and younger than 60 minutes: a newer one replaced it. Read the session, "
        "and place the order with the token that it has now"
    ),
    "lapsed": (
        "the authorization token has expired, a newer one replaced it, or it is of another region, environment or "
        "merchant. Read the session: if it has another token, place the order with that one. If not, read the payment "
        "session: if it is complete, an order was placed; if not, the consumer has to authorize the payment anew"
    ),
    "used": (
        "an order was placed already, with this authorization token or another one of the payment session. Look for "
        "that order by its reference before anything is placed again"
    ),
    "rejected": "the provider does not approve the payment: ask the consumer for another way to pay",
    "mismatch": (
        "the order is not the one that the payment session was created for, or that was placed with this token before: "
        "place that very order; error_messages names the fields"
    ),
}


def refused_order(error: ResponseError, *, expires_at: datetime | None, now: datetime) -> OrderRefusedError | None:
    """Return what *error*, an answer at *now*, means for the order to place; ``None`` if it says nothing of it."""
    reason = _reason(error, expires_at, now)
    if reason is None:
        return None
    code = "" if error.error_code is None else f" {error.error_code}"
    correlation = "" if error.correlation_id is None else f" (correlation id {error.correlation_id})"
    return OrderRefusedError(
        f"order: {error.status_code}{code}: {_ADVICE[reason]}{correlation}",
        reason=reason,
        session_id=error.session_id,
        status_code=error.status_code,
        error_code=error.error_code,
        error_messages=error.error_messages,
        correlation_id=error.correlation_id,
        read_at=error.read_at,
    )


def _reason(error: ResponseError, expires_at: datetime | None, now: datetime) -> OrderRefusal | None:
    match error.status_code, error.error_code:
        # KP error page: the session has an order already; the token was consumed.
        case (404, "SESSION_COMPLETED") | (403, "INVALID_OPERATION"):
            return "used"
        case 403, "REJECTED":
            return "rejected"
        case 404, _:
            if expires_at is None:
                return "lapsed"
            return "expired" if now >= expires_at else "superseded"
        case 409, _:
            return "mismatch"
        case _:
            return None
