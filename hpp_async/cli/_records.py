"""Lines of JSON with stable keys; the authorization token only on request, and no personal data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs

from hpp_async import HPPError, Outcome, OutcomeWait, ReadError, Session, Transition, WaitError, WatchEvent
from hpp_async.cli._forwarding import Post

Record = Mapping[str, object]

_READING: Final = (
    "status",
    "updated_at",
    "expires_at",
    "order_id",
    "klarna_reference",
    "has_authorization_token",
    "authorization_token",
    "correlation_id",
)
_TRANSITION: Final = ("previous", "status", "updated_at", "expires_at", "sequence", "is_last", "token")
_ACTED: Final = ("session_id", "status", "updated_at", "expires_at", "is_over", "now", "pace")
_ADVICE: Final = {
    "since=token": "--since TOKEN",
    "use a client for the region and environment in which the session was created": (
        "give --endpoint, that of the region and environment in which the session was created"
    ),
}
"""What messages advise Python code to do, and what to do on the command line."""
_OUTCOME: Final = ("outcome", "is_final", "needs_attention", "confirmed")


def line(record: Record) -> str:
    """Return *record* as one line of ASCII."""
    return json.dumps(record)


def of_reading(session: Session, *, show_token: bool) -> Record:
    """Return the line for a reading."""
    data = session.to_dict(show_secrets=show_token)
    return {"type": "reading"} | _some(data, "session_id", *_READING, "read_at")


def of_transition(transition: Transition, wait: OutcomeWait) -> Record:
    """Return the line for a change of status."""
    return {"type": "transition", "session_id": wait.session_id} | _some(transition.to_dict(), *_TRANSITION)


def of_outcome(outcome: Outcome, wait: OutcomeWait, *, show_token: bool) -> Record:
    """Return the last line of a wait that has an outcome."""
    record = of_ending(outcome, wait.session_id, show_token=show_token)
    return {**record, "reads": wait.reads, "token": wait.token}


def of_ending(outcome: Outcome, session_id: str, *, show_token: bool) -> Record:
    """Return the line for an outcome that no wait had."""
    data = outcome.to_dict(show_secrets=show_token) | {"session_id": session_id}
    return _some(data, "type", *_OUTCOME, "session_id", *_READING)


def of_error(error: HPPError, wait: OutcomeWait) -> Record:
    """Return the last line of a wait that ended with an error."""
    return {
        "type": "error",
        "error": type(error).__name__,
        "message": in_options(str(error)),
        "session_id": wait.session_id,
        "status": None if wait.latest is None else wait.latest.status,
        "correlation_id": error.correlation_id if isinstance(error, ReadError | WaitError) else None,
        "reads": wait.reads,
        "token": wait.token,
    }


def of_event(event: WatchEvent) -> Record:
    """Return the line for an event of a watch."""
    return event.to_dict() | {"news": news_of(event)}


def news_of(event: WatchEvent) -> Record:
    """Return what happened, as it is in the line for *event*."""
    news = event.news.to_dict()
    return news | {"message": in_options(str(event.news))} if isinstance(event.news, HPPError) else news


def of_news(event: WatchEvent, news: Record, *, token: str | None) -> Record:
    """Return the line for *news* that *event* led to; *token* is its only token."""
    news = {key: value for key, value in news.items() if key != "token"}
    return {"session_id": event.session_id, "token": token, "is_last": event.is_last, "news": news}


def of_post(post: Post) -> Record:
    """Return what came of a call, as it is in a line."""
    return {"type": "post", **attrs.asdict(post)}


def of_act(record: Mapping[str, object]) -> Record:
    """Return the line for what happened at a simulated provider; *record* has the session, if any, and the time."""
    return {"type": "acted", **{name: record.get(name) for name in _ACTED}}


def in_options(message: str) -> str:
    """Return *message*, which advises Python code, with the advice as it is on the command line."""
    for advice, ours in _ADVICE.items():
        message = message.replace(advice, ours)
    return message


def _some(data: dict[str, object], *keys: str) -> dict[str, object]:
    # Only these keys, in this order: plain data with secrets holds personal data, too.
    return {key: data[key] for key in keys if key in data}


def iso(moment: datetime | None) -> str | None:
    """Return *moment*, aware and in UTC, as the provider writes dates."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
