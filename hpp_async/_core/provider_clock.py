"""What time it is at the provider, as far as the ``Date`` headers of its answers say."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

import attrs

_REMEMBERED: Final = 101
"""How many readings the clock remembers."""

_QUORUM: Final = 15
"""How many readings must be known, the present one included, before its ``Date`` can be overruled."""

_AGREEMENT: Final = 5.0
"""Seconds by which two clocks may differ that are both right."""


class Mark(NamedTuple):
    """One answer's ``Date`` against the loop's clock. Marks are ordered by *offset*."""

    offset: float
    """The provider's seconds minus the loop's: the same for all answers, if all clocks are right."""
    date: datetime
    arrived_at: float
    """Loop seconds."""


@attrs.frozen
class Dated:
    """
    When an answer was made.

    Attributes:
        at: the time by the provider's clock, or the best estimate of it.
        mark: what the answer's own ``Date`` says; ``None`` where it has none.
        is_local: whether *at* is by this machine's calendar, because no answer had a ``Date`` yet.
    """

    at: datetime
    mark: Mark | None = None
    is_local: bool = False

    @property
    def by_provider(self) -> datetime | None:
        """The time by the provider's clock; ``None`` where only this machine's calendar tells one."""
        return None if self.is_local else self.at


@attrs.define
class ProviderClock:
    """
    The provider's time.

    An answer is dated by its own ``Date``, unless that is ahead of most of the last readings': the provider is many
    machines, and a single one with a wrong clock must not make a session expire. A ``Date`` that is behind the others
    is kept. It can only delay an expiry, and where most clocks are wrong it may be the right one. Only readings are
    remembered: in an outage all other answers may come from one gateway, whose clock may be wrong.

    An answer without a ``Date`` is dated by the remembered readings, and as early as it can have been made: at the
    moment it was asked for. A look from before an expiry whose answer came late must not count as a look after it.
    """

    _marks: deque[Mark] = attrs.field(init=False, factory=lambda: deque(maxlen=_REMEMBERED))
    """Of the last readings."""
    _believed: Mark | None = attrs.field(init=False, default=None)
    """The last reading's mark if it agrees with the one before it, else the middle one of all that are remembered."""
    _calendar: float | None = attrs.field(init=False, default=None)
    """This machine's calendar minus its loop's clock, in seconds, at the last answer."""

    def read(self, header: str | None, *, now: float, today: datetime, asked_at: float | None = None) -> Dated:
        """
        Return the provider's time of an answer with this ``Date`` *header*; give it to `trust` if it is a reading.

        The answer was asked for at *asked_at* and received at *now*, in loop seconds; *today* is this machine's
        calendar, which dates an answer only where no reading had a ``Date`` yet.
        """
        asked_at = now if asked_at is None else asked_at
        calendar = today.timestamp() - now
        if self._calendar is not None and abs(calendar - self._calendar) > _AGREEMENT:
            # This machine slept, or its calendar was set: loop seconds from before may not compare with those of now.
            self._marks.clear()
        self._calendar = calendar

        believed = self._believed
        date = None if header is None else parse_date(header)
        if date is None:
            return Dated(today, is_local=True) if believed is None else Dated(_reckoned(believed, asked_at))
        mark = Mark(date.timestamp() - now, date, now)
        if believed is None or abs(mark.offset - believed.offset) <= _AGREEMENT:
            return Dated(date, mark)  # a shortcut: nearly all answers agree with the one before them
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
    """Return the median; of an even number the earlier one of the middle two, by which a session expires later."""
    ordered = sorted(marks)
    return ordered[(len(ordered) - 1) // 2]


@lru_cache(maxsize=8)  # the same second is read many times over, and parsing it costs more than decoding a session
def parse_date(header: str) -> datetime | None:
    """Return an HTTP date as an aware time in UTC; ``None`` where it cannot be read."""
    try:
        date = parsedate_to_datetime(header)
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
