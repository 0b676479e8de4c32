"""What time it is at the provider, as far as the ``Date`` headers of its answers say."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

import attrs

from hpp_async._core.memory import Calendar

_REMEMBERED: Final = 101
"""How many readings the clock remembers."""

_QUORUM: Final = 15
"""How many readings must be known, including the present one, before its ``Date`` can be overruled."""

_AGREEMENT: Final = 5.0
"""Seconds. Clocks that differ by no more than this agree."""


class Mark(NamedTuple):
    """One answer's ``Date`` against the loop's clock. Marks are ordered by *offset*."""

    offset: float
    """The provider's time minus the loop's, in seconds: the same for all answers, if all clocks are right."""
    date: datetime
    arrived_at: float
    """Loop seconds."""


@attrs.frozen
class Dated:
    """
    When an answer was made.

    Attributes:
        at: the time by the provider's clock, or the best estimate of that.
        mark: what the answer's own ``Date`` says; ``None`` where it has none.
        is_local: whether *at* is by this machine's calendar, because no reading had a ``Date`` yet.
    """

    at: datetime
    mark: Mark | None = None
    is_local: bool = False

    @property
    def by_provider(self) -> datetime | None:
        """The time by the provider's clock; ``None`` where *at* is by this machine's calendar."""
        return None if self.is_local else self.at


@attrs.define
class ProviderClock:
    """
    The provider's time. One clock belongs to one client.

    An answer is dated by its own ``Date``, unless that is ahead of what most of the last readings say: the provider has
    many machines, and a single one with a wrong clock must not make a session expire. A ``Date`` that is behind the
    others is kept. It can only delay an expiry, and where most clocks are wrong it may be the right one. Only readings
    are remembered: in an outage, all other answers may come from one gateway, whose clock may be wrong.

    An answer without a ``Date`` is dated by the remembered readings, to the moment of its request: it cannot have been
    made earlier. Dated to its arrival, a late answer to a read that began before an expiry would count as made after
    it.
    """

    _marks: deque[Mark] = attrs.field(init=False, factory=lambda: deque(maxlen=_REMEMBERED))
    """The marks of the last readings, oldest first."""
    _believed: Mark | None = attrs.field(init=False, default=None)
    """The mark of the last reading, if it agrees with what was believed before; else the median of all marks."""
    _calendar: float | None = attrs.field(init=False, default=None)
    """This machine's calendar minus its loop's clock, in seconds, at the last answer or `look`."""

    @property
    def calendar(self) -> Calendar | None:
        """How loop times are dated, as of the last `look` or `read`; ``None`` before the first."""
        if self._calendar is None:
            return None
        # Without marks, the provider's time is not known: this machine slept, or its calendar was set.
        believed = self._believed if self._marks else None
        return Calendar(local=self._calendar, provider=None if believed is None else believed.offset)

    def look(self, *, now: float, today: datetime) -> None:
        """Take note of the time by this machine's calendar, *today*, at *now* (loop seconds)."""
        calendar = today.timestamp() - now
        if self._calendar is not None and abs(calendar - self._calendar) > _AGREEMENT:
            # This machine slept, or its calendar was set: loop times from before may not be comparable any more.
            self._marks.clear()
        self._calendar = calendar

    def read(self, header: str | None, *, now: float, today: datetime, asked_at: float | None = None) -> Dated:
        """
        Return when an answer with this ``Date`` *header* was made. For a reading, pass the result to `trust`.

        The answer was requested at *asked_at* and received at *now*, in loop seconds. *today* is the time by this
        machine's calendar, an aware `datetime`; it dates the answer only where no reading had a ``Date`` yet.
        """
        asked_at = now if asked_at is None else asked_at
        self.look(now=now, today=today)
        believed = self._believed
        date = None if header is None else parse_date(header)
        if date is None:
            return Dated(today, is_local=True) if believed is None else Dated(_reckoned(believed, asked_at))
        mark = Mark(date.timestamp() - now, date, now)
        if believed is None or abs(mark.offset - believed.offset) <= _AGREEMENT:
            return Dated(date, mark)  # saves time: nearly all answers agree with the reading before them
        marks = [*self._marks, mark]
        middle = _middle(marks)
        if len(marks) < _QUORUM or mark.offset - middle.offset <= _AGREEMENT:
            return Dated(date, mark)
        return Dated(_reckoned(middle, asked_at), mark)

    def trust(self, dated: Dated) -> None:
        """Remember *dated*, which `read` returned for a reading."""
        mark = dated.mark
        if mark is None:
            return
        self._marks.append(mark)
        is_agreed = self._believed is None or abs(mark.offset - self._believed.offset) <= _AGREEMENT
        self._believed = mark if is_agreed else _middle(self._marks)


def _reckoned(mark: Mark, at: float) -> datetime:
    """Return the provider's time at *at* (loop seconds) by *mark*."""
    try:
        return mark.date + timedelta(seconds=at - mark.arrived_at)
    except OverflowError:  # a Date of the year 9999
        return mark.date


def _middle(marks: Iterable[Mark]) -> Mark:
    """Return the median. Of the middle two it is the one that is behind, because then a session expires later."""
    ordered = sorted(marks)
    return ordered[(len(ordered) - 1) // 2]


@lru_cache(maxsize=8)  # many answers have the same second, and parsing it costs more than decoding a session
def parse_date(header: str) -> datetime | None:
    """Return an HTTP date as an aware `datetime` in UTC; ``None`` where it cannot be parsed."""
    try:
        date = parsedate_to_datetime(header)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
