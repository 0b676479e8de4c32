"""The sentences and phrases that are printed for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Final, assert_never

from hpp_async import (
    AnyOutcome,
    Authorization,
    Cancelled,
    Completed,
    CreatedSession,
    Disabled,
    Errored,
    Expired,
    Failed,
    OutageError,
    PlacedOrder,
    ReadFailed,
    Session,
    Stopped,
    WaitTimeoutError,
)
from hpp_async.cli._clients import OUTAGE_TOLERANCE
from hpp_async.cli._records import iso

LASTING: Final = 30.0
"""Seconds after which an outage is a lasting one."""


def say(remark: object) -> None:
    """Print *remark*, which is not data, on stderr."""
    print(f"hpp-async: {remark}", file=sys.stderr, flush=True)


def facts(session: Session, *, show_token: bool) -> Mapping[str, str]:
    """Return the fields of *session*, except its status, by their names; the token itself only if *show_token*."""
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
    return _known(said)


def facts_of_creation(created: CreatedSession) -> Mapping[str, str]:
    """Return where the session is read and paid, by the names of the fields."""
    return _known(
        {
            "session_id": created.session_id,
            "session_url": created.session_url,
            "redirect_url": created.redirect_url,
            "expires_at": iso(created.expires_at),
        }
    )


def in_journal(entry: Mapping[str, object]) -> str:
    """Return an entry of a simulated provider's journal, a request or a callback, as a line."""
    if entry["kind"] == "request":
        answer = "no answer" if entry["status_code"] is None else entry["status_code"]
        line = f"{entry['at']} {entry['method']} {entry['path']} {answer}"
        return printable(line if entry["complaint"] is None else f"{line}: {entry['complaint']}")
    about = f"callback {entry['call']} about {entry['status']} of {entry['session_id']}"
    return printable(f"{entry['at']} {about} {entry['result']}")


def _known(said: Mapping[str, str | None]) -> Mapping[str, str]:
    return {name: printable(text) for name, text in said.items() if text is not None}


def printable(text: str) -> str:
    """Return *text*, which came from outside, without control characters: they could move the cursor, or do worse."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def advice(outcome: AnyOutcome) -> str:
    """Return what the merchant should do next."""
    match outcome:
        case Completed(payment=PlacedOrder()):
            return "Next: fulfil the order, which is placed."
        case Completed(payment=Authorization()):
            return "Next: place the order with the authorization token, which is valid for 60 minutes."
        case Completed():
            return "The session is completed, but has neither a token nor an order: ask the provider before you ship."
        case Cancelled() | Disabled():
            return "This is final: another purchase needs another session."
        case Expired() if outcome.needs_attention:
            return "The session expired, but its last reading may mean that it was paid: ask the provider."
        case Expired(confirmed=True):
            return "The session can no longer be paid: another purchase needs another session."
        case Expired():
            return "The session expired, and no read showed how it ended: look for an order before you sell again."
        case Failed() | Errored() | Stopped():
            return "The session is still open and may yet be paid: wait with --final, or disable the session."
        case _ as never:
            assert_never(never)


def stopped(ending: KeyboardInterrupt | OutageError | WaitTimeoutError) -> str:
    """Return why the wait ended before the session did, without the advice to Python code in the error's message."""
    match ending:
        case WaitTimeoutError(session_id=session_id, latest=latest):
            status = "was not read" if latest is None else f"is still {latest.status}"
            return f"session {session_id} {status}. It may still be paid."
        case OutageError(session_id=session_id, last_error=error):
            return f"session {session_id} could not be read ({type(error).__name__}). It may have been paid meanwhile."
        case _:
            return "interrupted; the session was not changed."


def reason(failure: ReadFailed) -> str:
    """Return why the read failed, without the session's id."""
    return failure.message.removeprefix(f"session {failure.session_id}: ") or failure.error


def unreadable(failure: ReadFailed, lasted: float) -> str:
    """Return that the session could not be read, and why; after half a minute also for how long, and until when."""
    if lasted < LASTING:
        return f"could not be read: {reason(failure)}; the wait goes on"
    left = duration(OUTAGE_TOLERANCE - lasted)
    return f"could not be read for {duration(lasted)}: {reason(failure)}; the wait goes on, for about {left} at most"


def duration(seconds: float) -> str:
    """Return *seconds* in their two largest units."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute} min"
    return f"{minute} min {second} s" if minute else f"{second} s"


def local_time(moment: datetime | None) -> str:
    """Return *moment* in this machine's time zone."""
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
