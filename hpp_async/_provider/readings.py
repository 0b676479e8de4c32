"""What the client makes of an answer to a read. A recorder has it from here, so that it cannot differ."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from hpp_async._core.position import date_of, expiry_of
from hpp_async._core.provider_clock import parse_date
from hpp_async._http.codec import UnreadableError, decode_session
from hpp_async._http.exchange import MAXIMUM_BODY, unpacked

__all__ = ["MAXIMUM_BODY", "Believed", "believed", "date_in", "unpacked"]


class Believed(NamedTuple):
    """What the client believes of a reading."""

    status: str
    updated_at: datetime | None
    expires_at: datetime | None
    has_order: bool


def believed(body: bytes | None, headers: Mapping[str, str], session_id: str) -> Believed | None:
    """Return what the client believes of *body*, decompressed; ``None`` where it is no reading of the session."""
    try:
        session = decode_session(body or b"", session_id=session_id, read_at=date_in(headers))
    except UnreadableError:
        return None
    return Believed(str(session.status), date_of(session), expiry_of(session), session.order_id is not None)


def date_in(headers: Mapping[str, str]) -> datetime | None:
    """Return the ``Date`` of an answer; ``None`` where it has none, or a broken one."""
    date = headers.get("Date")
    return None if date is None else parse_date(date)
