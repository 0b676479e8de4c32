"""What creating, disabling and distributing a session does to it, and is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from hpp_async._session import SessionStatus
from hpp_async.testing._answers import Answer, error, respond
from hpp_async.testing._life import FINAL, Life, Step, date
from hpp_async.testing._paths import SESSIONS, page_path
from hpp_async.testing._requests import parse_distribution
from hpp_async.testing._shapes import BadValueError


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
