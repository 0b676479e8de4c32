"""What merchants asked of the provider and what they got, and what became of the provider's callbacks."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import attrs

from hpp_async._provider.life import date
from hpp_async._provider.requests import ABOUT_SESSIONS, operation_of
from hpp_async.testing import Answer, Operation, OrderNotification, RequestFaults, StatusCallback

_KEPT: Final = 500
_LONGEST: Final = 200
_TELLING: Final = (Operation.PLACE_ORDER, Operation.CANCEL_AUTHORIZATION, Operation.CREATE_CUSTOMER_TOKEN, None)
"""The operations whose path has a token in it, or may have one: who mistypes a path gets no operation."""
_TOKEN: Final = re.compile(r"(/payments/v1/authorizations/)[^/]+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@attrs.define
class Journal:
    """
    The last requests of merchants and callbacks to them, oldest first.

    It has no body, query, token or URL of a shop in it: of an answer the status code and the complaint alone.
    """

    _entries: deque[Mapping[str, object]] = attrs.field(init=False, factory=lambda: deque(maxlen=_KEPT))
    _number: int = attrs.field(init=False, default=0)

    @property
    def entries(self) -> list[Mapping[str, object]]:
        """The entries as plain data."""
        return list(self._entries)

    def clear(self) -> None:
        """Forget all entries; their numbers go on."""
        self._entries.clear()

    def note_request(
        self, moment: datetime, method: str, path: str, answer: Answer | None, faults: RequestFaults
    ) -> None:
        """Note a request of a merchant; its *answer* is ``None`` where the connection broke before one was made."""
        operation, resource, _ = operation_of(method, path)
        is_broken = faults.breach is not None
        self._note(
            moment,
            kind="request",
            operation=operation,
            method=method[:_LONGEST],
            path=shown_path(method, path),
            session_id=resource if operation in ABOUT_SESSIONS else None,
            status_code=None if answer is None or is_broken else answer.status_code,
            complaint=None if answer is None else _complaint(answer),
            faults=[type(kind).__name__.lower() for kind in faults.kinds],
        )

    def note_callback(self, moment: datetime, callback: StatusCallback | OrderNotification, result: str) -> None:
        """Note a callback, and the status code or the reason why there was none."""
        about: dict[str, object]
        if isinstance(callback, StatusCallback):
            body: dict[str, Any] = json.loads(callback.body)
            about = {"event_id": callback.event_id, "status": body.get("session", {}).get("status")}
        else:
            about = {"order_id": callback.order_id, "status": callback.event_type}
        self._note(moment, kind="callback", session_id=callback.session_id, **about, call=callback.call, result=result)

    def _note(self, moment: datetime, **entry: object) -> None:
        self._number += 1
        self._entries.append({"number": self._number, "at": date(moment), **entry})


def shown_path(method: str, path: str) -> str:
    """Return *path* as it may be shown: without its query, without authorization tokens, and not too long."""
    path = path.partition("?")[0]
    if operation_of(method, path)[0] in _TELLING and not path.startswith("/simulator"):
        path = _TOKEN.sub(lambda found: f"{found[1] or ''}…", path)
    return path[:_LONGEST]


def _complaint(answer: Answer) -> str | None:
    """Return what an error of the provider says."""
    if answer.status_code < 400:
        return None
    try:
        body: object = json.loads(answer.body)
    except ValueError:
        return None
    match body:
        case {"error_messages": [str(message)]}:  # the provider's model names one thing at a time
            return message
        case _:
            return None
