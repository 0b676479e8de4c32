"""The simulated provider's date and time, which can run faster than real time, and jump ahead."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from hpp_async import ConfigurationError
from hpp_async._provider.life import PAST_EXPIRY, Life, duration

_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)  # sessions are to expire, and dates end with the year 9999


class Calendar:
    """
    The real date and time, until it is made to run faster or to jump ahead; it never goes back.

    ``Provider(now=Calendar())`` is a provider whose time can be moved, in Python and over HTTP.

    Args:
        start: the date and time at the beginning, aware; now, by default.
        clock: returns seconds since any moment.
    """

    def __init__(self, start: datetime | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # One tuple, replaced as a whole: the server's thread reads it, and another thread may move the time.
        self._since = (datetime.now(UTC) if start is None else start, clock(), 1.0)
        self._recorded: tuple[tuple[datetime, float, float], str] | None = None

    def __call__(self) -> datetime:
        """Return the date and time, aware."""
        start, began_at, pace = self._since
        return start + timedelta(seconds=(self._clock() - began_at) * pace)

    @property
    def pace(self) -> float:
        """How many seconds pass in one real second."""
        return self._since[2]

    @pace.setter
    def pace(self, pace: float) -> None:
        pace = duration(pace, "pace")
        if pace > 86_400:
            raise ConfigurationError(f"pace={pace:g}: give at most 86400, a day in a second")
        self._since = (self(), self._clock(), pace)

    def advance(self, by: float | timedelta) -> None:
        """
        Jump ahead *by* seconds, or by a `timedelta`.

        Raises:
            ConfigurationError: *by* is not a time, or is negative.
        """
        self.jump(self() + timedelta(seconds=duration(by, "advance")))

    def jump(self, to: datetime) -> None:
        """
        Jump ahead *to* an aware date and time; one in the past changes nothing.

        Raises:
            ConfigurationError: *to* is not an aware date and time.
        """
        if not isinstance(to, datetime) or to.tzinfo is None:
            raise ConfigurationError(f"jump_to={to!r}: give a date and time with its zone")
        if to > _LATEST:
            raise ConfigurationError(f"jump_to={to.isoformat()}: give a date before {_LATEST.year}")
        self._since = (max(to, self()), self._clock(), self.pace)

    def record(self) -> str:
        """Return what `go_on` has to know, JSON; it stays the same until the time is moved."""
        start, began_at, pace = self._since
        if self._recorded is None or self._recorded[0] is not self._since:
            began = datetime.now(UTC) - timedelta(seconds=self._clock() - began_at)
            record = json.dumps({"start": start.isoformat(), "began": began.isoformat(), "pace": pace})
            self._recorded = (self._since, record)
        return self._recorded[1]

    def go_on(self, record: str) -> None:
        """Go on as the calendar that wrote *record*, as if its time had passed at its pace until now."""
        past = json.loads(record)
        real = datetime.now(UTC) - datetime.fromisoformat(past["began"])
        now = datetime.fromisoformat(past["start"]) + max(real, timedelta()) * past["pace"]
        self._since = (now, self._clock(), past["pace"])


def jump_past_expiry(calendar: Calendar, life: Life) -> None:
    """
    Jump past the expiry of a session, by a little more than the grace after which clients read it a last time.

    A wait for the session then ends after a few more reads.
    """
    calendar.jump(life.expiry(calendar()) + PAST_EXPIRY)
