"""JSON lines: stable keys; tokens only where they are asked for, and no personal data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from hpp_async import Expired, HPPError, Outcome, OutcomeWait, ReadError, Session, Transition, WaitError

Record = Mapping[str, object]


def line(record: Record) -> str:
    """Return *record* as one line of ASCII."""
    return json.dumps(record)


def of_reading(session: Session, *, show_token: bool) -> Record:
    """Return the line for a reading."""
    return {"type": "reading", **_session(session, session.session_id, show_token), "read_at": iso(session.read_at)}


def of_transition(transition: Transition, wait: OutcomeWait) -> Record:
    """Return the line for a change of status."""
    return {
        "type": "transition",
        "session_id": wait.session_id,
        "previous": transition.previous,
        "status": transition.status,
        "updated_at": iso(transition.session.updated_at),
        "expires_at": iso(transition.session.expires_at),
        "sequence": transition.sequence,
        "is_last": transition.is_last,
        "token": transition.token,
    }


def of_outcome(outcome: Outcome, wait: OutcomeWait, *, show_token: bool) -> Record:
    """Return the last line of a wait that found out."""
    return {
        "type": "outcome",
        "outcome": type(outcome).__name__,
        "is_final": outcome.is_final,
        "needs_attention": outcome.needs_attention,
        "confirmed": outcome.confirmed if isinstance(outcome, Expired) else None,
        **_session(outcome.session, wait.session_id, show_token),
        "reads": wait.reads,
        "token": wait.token,
    }


def of_error(error: HPPError, wait: OutcomeWait) -> Record:
    """Return the last line of a wait that could not find out."""
    return {
        "type": "error",
        "error": type(error).__name__,
        "message": str(error),
        "session_id": wait.session_id,
        "status": None if wait.latest is None else wait.latest.status,
        "correlation_id": error.correlation_id if isinstance(error, ReadError | WaitError) else None,
        "reads": wait.reads,
        "token": wait.token,
    }


def _session(session: Session, session_id: str | None, show_token: bool) -> Record:
    shown = {"authorization_token": session.authorization_token} if show_token else {}
    return {
        "session_id": session_id,
        "status": session.status,
        "updated_at": iso(session.updated_at),
        "expires_at": iso(session.expires_at),
        "order_id": session.order_id,
        "klarna_reference": session.klarna_reference,
        "has_authorization_token": session.authorization_token is not None,
        **shown,
        "correlation_id": session.correlation_id,
    }


def iso(moment: datetime | None) -> str | None:
    """Return *moment*, aware and in UTC, as the provider writes dates."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
