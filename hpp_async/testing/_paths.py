"""Where the HPP resource is, and what may be asked of it there."""

from __future__ import annotations

import re
import uuid
from typing import Final

from hpp_async.testing._forms import Operation

SESSIONS: Final = "/hpp/v1/sessions"
PAGES: Final = "/hpp/payments"
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
