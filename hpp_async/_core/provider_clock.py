"""What time it is at the provider, as far as the ``Date`` headers of its answers tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

import attrs

_VOTES: Final = 101
"""How many of the last readings know what time it is at the provider."""

_QUORUM: Final = 15
"""Readings that must be known, itself included, before an answer's ``Date`` can be overruled."""

_AGREEMENT: Final = 5.0
"""Seconds by which clocks that are right may differ."""


@attrs.define
class ProviderClock:
    """
    What time it is at the provider.

    Every answer has its own ``Date``, and that is what counts for it, unless it is ahead of most of the last readings:
    a provider is many machines, and one with a wrong clock must not make a session expire. One that is behind is left
    alone: it can only delay that, and where most are wrong it may be the right one. Answers that are no readings have
    no vote: in an outage they may all come from one machine in between, whose clock is anybody's.

    An answer without a ``Date`` is dated by those readings, as old as it can be: it may have been made at any moment
    since it was asked for, and a session must not expire by a look from before its expiry that came late.
    """

    _marks: deque[tuple[float, datetime, float]] = attrs.field(init=False, factory=lambda: deque(maxlen=_VOTES))
    """Of the last readings: the provider's seconds minus the loop's, the ``Date``, and the loop's seconds."""
    _believed: tuple[float, datetime, float] | None = attrs.field(init=False, default=None)
    _judged: tuple[float, datetime, float] | None = attrs.field(init=False, default=None)
    """Of the answer that `read` dated last, which may become a vote."""
    _calendar: float | None = attrs.field(init=False, default=None)

    def read(self, header: str | None, *, now: float, today: datetime, asked_at: float | None = None) -> datetime:
        """
        Return the provider's time of an answer with this ``Date`` *header*.

        It was asked for at *asked_at* and received at *now*, in loop seconds.
        """
        asked_at = now if asked_at is None else asked_at
        calendar = today.timestamp() - now
        if self._calendar is not None and abs(calendar - self._calendar) > _AGREEMENT:
            # This machine slept, or its calendar was set: loop seconds from before may not compare with those of now.
            self._marks.clear()
        self._calendar = calendar
        date = None if header is None else parse_date(header)
        if date is None:
            self._judged = None
            return today if self._believed is None else self._reckon(self._believed, asked_at)

        self._judged = mark = (date.timestamp() - now, date, now)
        if self._believed is None or abs(mark[0] - self._believed[0]) <= _AGREEMENT:
            return date
        marks = [*self._marks, mark]
        middle = _middle(marks)
        if len(marks) < _QUORUM or mark[0] - middle[0] <= _AGREEMENT:
            return date
        return self._reckon(middle, asked_at)

    def trust(self) -> None:
        """Let the answer that `read` dated last have a vote: it was a reading."""
        mark = self._judged
        if mark is None:
            return
        self._marks.append(mark)
        is_agreed = self._believed is None or abs(mark[0] - self._believed[0]) <= _AGREEMENT
        self._believed = mark if is_agreed else _middle(self._marks)

    def _reckon(self, mark: tuple[float, datetime, float], now: float) -> datetime:
        try:
            return mark[1] + timedelta(seconds=now - mark[2])
        except OverflowError:  # a Date of the year 9999
            return mark[1]


def _middle(marks: Iterable[tuple[float, datetime, float]]) -> tuple[float, datetime, float]:
    """Return the middle one: of an even number the earlier, by which a session expires later."""
    ordered = sorted(marks)
    return ordered[(len(ordered) - 1) // 2]


@lru_cache(maxsize=8)  # the same second is read many times over, and parsing it costs more than decoding a session
def parse_date(header: str) -> datetime | None:
    """Return an HTTP date as an aware time in UTC; ``None`` where it is none."""
    try:
        date = parsedate_to_datetime(header)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
