"""Which callbacks the provider owes a merchant, and when (status callbacks page)."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, cast
from urllib.parse import quote

import attrs

from hpp_async._provider.faults import Slow
from hpp_async._provider.life import Life
from hpp_async._provider.resource import Operation
from hpp_async._provider.troubles import Troubles

PATIENCE: Final = timedelta(seconds=3)
"""How long the merchant's answer is waited for, and so how far the calls about one change are apart."""
CALLS: Final = 4
"""One, and three repeats."""
_PLACEHOLDER: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@attrs.frozen(kw_only=True)
class StatusCallback:
    """
    A POST that the provider owes a merchant.

    Attributes:
        url: ``merchant_urls.status_update`` with its placeholders filled in.
        body: what is posted, JSON.
        call: 1 for the first one about a change, up to 4.
        due_at: when.
    """

    session_id: str
    event_id: str
    url: str
    body: bytes
    call: int
    due_at: datetime


@attrs.define
class Callbacks:
    """
    The callbacks there are to come: `due` hands out each one once, `failed` brings it back as a repeat.

    Args:
        repeats_are_empty: whether repeats come as ``{}``, as real ones have.
    """

    repeats_are_empty: bool = False
    _pending: list[StatusCallback] = attrs.field(init=False, factory=list[StatusCallback])

    def due(self, lives: Iterable[Life], moment: datetime, troubles: Troubles) -> list[StatusCallback]:
        """Return the callbacks whose time has come since the last asking, oldest first; *troubles* lose some."""
        for life in lives:
            for callback in _changes(life, moment) if _is_owing(life, moment) else ():
                met = troubles.meet(Operation.CALLBACK, life.session_id, callback.due_at)
                delay = timedelta(seconds=met.delay)
                if all(isinstance(fault, Slow) for fault in met.faults):
                    self._pending.append(attrs.evolve(callback, due_at=callback.due_at + delay))
        due = sorted((one for one in self._pending if one.due_at <= moment), key=lambda one: one.due_at)
        self._pending = [one for one in self._pending if one.due_at > moment]
        return due

    def next_at(self, lives: Iterable[Life]) -> datetime | None:
        """Return when the next one is due, as things are: in the past, where nobody has asked since; or ``None``."""
        moments = [one.due_at for one in self._pending]
        for life in lives:
            if life.told < len(life.steps) and "status_update" in life.merchant_urls:
                step = next((step for step in life.steps[life.told :] if step.status is not None), None)
                moments += [] if step is None else [life.moment(step)]
        return min(moments, default=None)

    def failed(self, callback: StatusCallback) -> None:
        """Take note that *callback* got no 2xx within 3 s: it is repeated, unless it was the fourth call."""
        if callback.call < CALLS:
            self._pending.append(
                attrs.evolve(
                    callback,
                    call=callback.call + 1,
                    due_at=callback.due_at + PATIENCE,
                    body=b"{}" if self.repeats_are_empty else callback.body,
                )
            )


def _is_owing(life: Life, moment: datetime) -> bool:
    """Tell whether *life* has taken a step that its merchant may have to hear of; quick, for there can be thousands."""
    return (
        life.told < len(life.steps)
        and "status_update" in life.merchant_urls
        and life.moment(life.steps[life.told]) <= moment
    )


def _changes(life: Life, moment: datetime) -> list[StatusCallback]:
    """Return the first calls about what has become of *life*, and take note that they were made."""
    passed = life.passed(moment)
    new = passed[life.told :]
    told, life.told = life.told, max(life.told, len(passed))
    callbacks: list[StatusCallback] = []
    for number, step in enumerate(new, start=told):
        if step.status is None:
            continue
        at = life.moment(step)
        session = life.reading(at)
        event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{life.session_id}/{number}"))
        callbacks.append(
            StatusCallback(
                session_id=life.session_id,
                event_id=event_id,
                url=filled(life.merchant_urls["status_update"], session),
                body=json.dumps({"event_id": event_id, "session": session}).encode(),
                call=1,
                due_at=at,
            )
        )
    return callbacks


def filled(url: str, session: Mapping[str, object]) -> str:
    """Return a merchant's *url* with ``{{session_id}}`` and the like filled in; what *session* has not is left out."""
    return _PLACEHOLDER.sub(lambda found: quote(str(session.get(cast("str", found[1])) or ""), safe=""), url)
