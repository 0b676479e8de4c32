"""Which callbacks the provider owes a merchant, and when (status callbacks page, pending orders page)."""

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
from hpp_async._provider.injection import Faults
from hpp_async._provider.life import Life
from hpp_async._provider.words import Operation

PATIENCE: Final = timedelta(seconds=3)
"""How long the provider waits for the merchant's answer, and also the time between the calls about one change."""
CALLS: Final = 4
"""The first call and three repeats."""
NOTIFIED_EVERY: Final = timedelta(minutes=10)
"""The time between the notifications about one decision."""
NOTIFICATIONS: Final = timedelta(hours=24) // NOTIFIED_EVERY
_PLACEHOLDER: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@attrs.frozen(kw_only=True)
class StatusCallback:
    """
    A POST about a session that the provider owes a merchant.

    Attributes:
        url: ``merchant_urls.status_update`` with its placeholders filled in.
        body: what is posted, JSON.
        call: 1 for the first call about a change, up to 4.
        due_at: when the call is made.
    """

    session_id: str
    event_id: str
    url: str
    body: bytes
    call: int
    due_at: datetime

    def is_answered_by(self, status_code: int) -> bool:
        """Tell whether the merchant's answer ends the calls about this change."""
        return 200 <= status_code < 300

    def again(self, *, is_empty: bool) -> StatusCallback | None:
        """Return the next call about the same change, after one that failed; ``None`` after the last one."""
        if self.call >= CALLS:
            return None
        body = b"{}" if is_empty else self.body
        return attrs.evolve(self, call=self.call + 1, due_at=self.due_at + PATIENCE, body=body)


@attrs.frozen(kw_only=True)
class OrderNotification:
    """
    A POST about a decision on a pending order that the provider owes a merchant.

    Attributes:
        session_id: the session of the payment page on which the order was paid.
        event_type: ``FRAUD_RISK_ACCEPTED`` or ``FRAUD_RISK_REJECTED``.
        url: ``merchant_urls.notification`` of the order, with its placeholders filled in.
        body: what is posted, JSON.
        call: 1 for the first call about the decision; there is one every 10 minutes, for 24 hours.
        due_at: when the call is made.
    """

    session_id: str
    order_id: str
    event_type: str
    url: str
    body: bytes
    call: int
    due_at: datetime

    def is_answered_by(self, status_code: int) -> bool:
        """Tell whether the merchant's answer ends the calls about this decision: no other code than 200 does."""
        return status_code == 200

    def again(self, *, is_empty: bool) -> OrderNotification | None:
        """Return the next call about the same decision, with the same body; ``None`` after the last one."""
        del is_empty  # a property of status callbacks alone
        if self.call >= NOTIFICATIONS:
            return None
        return attrs.evolve(self, call=self.call + 1, due_at=self.due_at + NOTIFIED_EVERY)


AnyCallback = StatusCallback | OrderNotification
"""Whatever the provider posts to a merchant."""


@attrs.define
class Callbacks:
    """
    The callbacks that are still to be made: `due` returns each of them once, and `failed` schedules a repeat.

    Args:
        repeats_are_empty: whether repeats have the body ``{}``, as real ones have had.

    Attributes:
        planned: the notifications about pending orders, each with its first call.
        pending: the repeats, and the calls that a fault delays.
    """

    repeats_are_empty: bool = False
    planned: list[OrderNotification] = attrs.field(init=False, repr=False, factory=list[OrderNotification])
    pending: list[AnyCallback] = attrs.field(init=False, repr=False, factory=list[AnyCallback])

    def due(self, lives: Iterable[Life], moment: datetime, faults: Faults) -> list[AnyCallback]:
        """Return the callbacks that became due since the last call, oldest first; *faults* can lose or delay them."""
        first: list[AnyCallback] = [one for one in self.planned if one.due_at <= moment]
        self.planned = [one for one in self.planned if one.due_at > moment]
        for life in lives:
            first += _changes(life, moment) if _is_owing(life, moment) else ()
        for callback in first:
            drawn = faults.draw(Operation.CALLBACK, callback.session_id, callback.due_at)
            if all(isinstance(kind, Slow) for kind in drawn.kinds):
                delay = timedelta(seconds=drawn.delay)
                self.pending.append(attrs.evolve(callback, due_at=callback.due_at + delay))
        due = sorted((one for one in self.pending if one.due_at <= moment), key=lambda one: one.due_at)
        self.pending = [one for one in self.pending if one.due_at > moment]
        return due

    def next_at(self, lives: Iterable[Life]) -> datetime | None:
        """Return when the next callback is due by the present plans; ``None`` if none is planned."""
        moments = [one.due_at for one in (*self.planned, *self.pending)]
        for life in lives:
            if life.called_back < len(life.steps) and "status_update" in life.merchant_urls:
                step = next((step for step in life.steps[life.called_back :] if step.status is not None), None)
                moments += [] if step is None else [life.moment(step)]
        return min(moments, default=None)

    def failed(self, callback: AnyCallback) -> None:
        """Schedule a repeat of *callback*, which got no answer that ends the calls, unless it was the last one."""
        again = callback.again(is_empty=self.repeats_are_empty)
        if again is not None:
            self.pending.append(again)


def _is_owing(life: Life, moment: datetime) -> bool:
    """Tell whether *life* has passed a step that may need a callback. It is quick: there can be thousands of lives."""
    return (
        life.called_back < len(life.steps)
        and "status_update" in life.merchant_urls
        and life.moment(life.steps[life.called_back]) <= moment
    )


def _changes(life: Life, moment: datetime) -> list[StatusCallback]:
    """Return the first calls about the changes of *life* up to *moment*, without those that were returned before."""
    passed = life.passed(moment)
    start, life.called_back = life.called_back, max(life.called_back, len(passed))
    callbacks: list[StatusCallback] = []
    for number, step in enumerate(passed[start:], start):
        if step.status is None:
            continue
        at = life.moment(step)
        url = life.merchant_urls["status_update"]
        callbacks.append(first_call(life.session_id, number, url=url, session=life.reading(at), due_at=at))
    return callbacks


def first_call(
    session_id: str, change: object, *, url: str, session: Mapping[str, object], due_at: datetime
) -> StatusCallback:
    """
    Return the first call about a change of a session, after which a read shows *session*.

    *change* names the change among those of the session: the same change always has the same ``event_id``.
    """
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{session_id}/{change}"))
    return StatusCallback(
        session_id=session_id,
        event_id=event_id,
        url=filled(url, session),
        body=json.dumps({"event_id": event_id, "session": session}).encode(),
        call=1,
        due_at=due_at,
    )


def filled(url: str, session: Mapping[str, object]) -> str:
    """Return *url* with ``{{session_id}}`` and other placeholders filled in from *session*; unknown ones are empty."""
    return _PLACEHOLDER.sub(lambda found: quote(str(session.get(cast("str", found[1])) or ""), safe=""), url)
