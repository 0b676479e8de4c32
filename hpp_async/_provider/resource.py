"""The HPP resource: where it is, what may be asked of it, and what that does to a session and is answered."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from hpp_async._core.session import SessionStatus
from hpp_async._provider.answers import Answer, error, respond
from hpp_async._provider.life import FINAL, Life, Step, date
from hpp_async._provider.requests import BadValueError, parse_distribution

SESSIONS: Final = "/hpp/v1/sessions"
PAGES: Final = "/hpp/payments"


class Operation(StrEnum):
    """What merchants ask for; and ``CALLBACK``, what the provider tells them of its own accord."""

    CREATE = "create"
    READ = "read"
    DISTRIBUTE = "distribute"
    DISABLE = "disable"
    CALLBACK = "callback"


_OPERATIONS: Final = (
    (re.compile(SESSIONS), {"POST": Operation.CREATE}),
    (re.compile(rf"{SESSIONS}/([^/]+)"), {"GET": Operation.READ, "DELETE": Operation.DISABLE}),
    (re.compile(rf"{SESSIONS}/([^/]+)/distribution"), {"POST": Operation.DISTRIBUTE}),
)


def operation_of(method: str, path: str) -> tuple[Operation | None, str | None, tuple[str, ...]]:
    """Return what is asked for, of which session, and the methods that there are at *path*: none, nowhere."""
    for pattern, operations in _OPERATIONS:
        found = pattern.fullmatch(path)
        if found is not None:
            session_id = found[1] if pattern.groups else None
            return operations.get(method), session_id, tuple(operations)
    return None, None, ()


def page_path(session_id: str) -> str:
    """Return where the session's payment page is; the session has another name there."""
    return f"{PAGES}/{uuid.uuid5(uuid.NAMESPACE_URL, session_id).hex[:7]}"


def created(life: Life, base_url: str, headers: Mapping[str, str], moment: datetime) -> Answer:
    """Hand out the URLs of a new session."""
    session_url = f"{base_url}{SESSIONS}/{life.session_id}"
    urls = {
        "session_id": life.session_id,
        "session_url": session_url,
        "redirect_url": f"{base_url}{page_path(life.session_id)}",
        "distribution_url": f"{session_url}/distribution",
        "expires_at": date(life.expiry(moment)),
    }
    return respond(201, {**headers, "Location": session_url}, urls)


def disabled_by_merchant(life: Life, headers: Mapping[str, str], moment: datetime) -> Answer:
    """Disable *life*, unless it is over; one that was completed is refused."""
    status = life.status(moment)
    if status == SessionStatus.COMPLETED:
        # Disable page: 400 means that it was completed meanwhile.
        return error(400, headers, code="BAD_REQUEST", message="HPP session has already been successfully completed.")
    if status not in FINAL:
        life.change([Step(0.0, SessionStatus.DISABLED)], moment)
    return respond(204, headers)


def distributed(life: Life, body: bytes, headers: Mapping[str, str], moment: datetime) -> Answer:
    """Take note that the consumer gets the link; nothing is sent."""
    if life.status(moment) == SessionStatus.DISABLED:
        return error(400, headers, code="BAD_REQUEST", message="HPP session is disabled.")
    try:
        life.distributions.append(parse_distribution(body))
    except BadValueError as refusal:
        return error(400, headers, message=f"Bad value: {refusal}")
    return respond(204, headers)
