"""What people are told, in words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime

from hpp_async import Authorization, Cancelled, Completed, Disabled, Expired, Outcome, PlacedOrder, ReadFailed, Session
from hpp_async.cli._records import iso


def say(remark: object) -> None:
    """Say something that is not data, on stderr."""
    print(f"hpp-async: {remark}", file=sys.stderr, flush=True)


def facts(session: Session, *, show_token: bool) -> Mapping[str, str]:
    """Return what *session* says besides its status, by the provider's names; the token itself only if *show_token*."""
    token = session.authorization_token
    if token is not None and not show_token:
        token = "received (--show-token shows it)"
    said = {
        "session_id": session.session_id,
        "order_id": session.order_id,
        "klarna_reference": session.klarna_reference,
        "authorization_token": token,
        "updated_at": iso(session.updated_at),
        "expires_at": iso(session.expires_at),
        "correlation_id": session.correlation_id,
    }
    return {name: _printable(text) for name, text in said.items() if text is not None}


def _printable(text: str) -> str:
    # What comes from outside must not move the cursor, or worse.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def advice(outcome: Outcome) -> str:
    """Return what a merchant does next."""
    match outcome:
        case Completed(payment=PlacedOrder()):
            return "Next: the order is placed, fulfil it."
        case Completed(payment=Authorization()):
            return "Next: place the order with the authorization token, which lives for 60 minutes."
        case Completed():
            return "It is paid, but came with neither a token nor an order to book it with: ask the provider."
        case Cancelled() | Disabled():
            return "Nothing can follow: another purchase takes another session."
        case Expired() if outcome.needs_attention:
            return "It expired, but its last reading speaks of more than an open session: ask the provider."
        case Expired(confirmed=True):
            return "It can no longer be paid: another purchase takes another session."
        case Expired():
            return "It was gone after its expiry, so nobody saw how it ended: look for its order before you sell again."
        case _:
            return "The session is still open and may yet be paid: wait on with --final, or disable it."


def reason(failure: ReadFailed) -> str:
    """Return why a read failed."""
    return (
        failure.error if failure.correlation_id is None else f"{failure.error}, correlation id {failure.correlation_id}"
    )


def duration(seconds: float) -> str:
    """Return *seconds* in its two largest units."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute} min"
    return f"{minute} min {second} s" if minute else f"{second} s"


def local_time(moment: datetime | None) -> str:
    """Return *moment* on this machine's calendar."""
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
