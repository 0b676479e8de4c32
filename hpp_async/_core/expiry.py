"""
Whether a session has expired, by a quorum of readings.

There is no EXPIRED status, so expiry is inferred from ``expires_at``. A wrong inference is expensive: the shop takes
goods back that are paid for a moment later. A single answer may come from a machine with a wrong clock, or from a
replica that is behind. Three rules follow.

*When.* Each reading names a moment: its ``expires_at``, as a distance from its own ``Date``, on the loop's clock. The
session expires at the latest moment that one of the last five readings names. A reading that only this machine's
calendar dates names none, for that calendar may be days ahead.

*Whether.* It has expired once a reading taken after that moment (plus a grace) still shows it open, and a quorum of
readings agrees: one from before the moment and one from after it. Where no reading ever showed the session before its
expiry, all of the last five must be from after it.

*Never known.* Where no reading ever names a moment, the wait must end all the same: 72 hours after the session was
first seen. The provider's sessions live for 47 hours; those that move their expiry name it.

All times are loop seconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from hpp_async._core.position import expiry_of
from hpp_async._core.session import Session

EXPIRY_GRACE: Final = 5.0
"""Seconds after ``expires_at`` at which the last look is taken: a payment of the last second has to show up first."""

UNKNOWN_FOR: Final = 72 * 3600.0
"""Seconds for which a session is followed whose expiry nobody can read."""

_QUORUM: Final = 5
"""How many of the last readings must agree that expiry has passed."""

_DATE_RESOLUTION: Final = 1.0
"""``Date`` counts whole seconds, so two readings may disagree by one about when the session expires."""


@attrs.define(eq=False, weakref_slot=False)
class Expiry:
    """When one session expires, and whether it has."""

    _moments: tuple[float, ...] = attrs.field(init=False, default=())
    """When the session expires by each of the last readings that knew, oldest first."""
    _was_open: bool = attrs.field(init=False, default=False)
    """Whether any reading was taken before the moment that it named."""
    _late_looks: int = attrs.field(init=False, default=0)
    """Readings in a row that were taken after the expiry."""
    _seen_at: float | None = attrs.field(init=False, default=None)
    """When the session was first seen, as long as no reading named a moment."""

    @property
    def at(self) -> float | None:
        """When the session expires, as far as is known."""
        return max(self._moments) if self._moments else None

    @property
    def last_look_at(self) -> float | None:
        """When the look is due that decides."""
        if self._moments:
            return max(self._moments) + EXPIRY_GRACE
        return None if self._seen_at is None else self._seen_at + UNKNOWN_FOR

    def is_unknown(self, now: float) -> bool:
        """Tell whether the session was followed for 72 hours, and no reading named its expiry."""
        return self._seen_at is not None and now >= self._seen_at + UNKNOWN_FOR

    def is_suspected(self, now: float) -> bool:
        """Tell whether the newest reading says that expiry has passed, whether or not the others agree."""
        return bool(self._moments) and self._moments[-1] + EXPIRY_GRACE <= now

    def is_past(self, now: float, *, said_at: datetime | None, known: datetime | None) -> bool:
        """
        Tell whether a 404 that arrived at *now* came after the expiry.

        *said_at* is the provider's date of the 404 itself, and *known* the last ``expires_at`` that was believed.
        Where the readings name a moment and the 404 has a date, both must agree: there may be one reading only, with a
        wrong date. After a restart no reading names one, and then *known* is from the resume token.
        """
        at = self.at
        if at is not None and (now < at or said_at is None):
            return now >= at
        return known is not None and said_at is not None and said_at >= known

    def observe(
        self, reading: Session, now: float, *, known: datetime | None, is_believed: bool, seen_for: float = 0.0
    ) -> bool:
        """
        Note *reading*, which arrived at *now*; return whether the session has expired by it.

        *known* is the last ``expires_at`` that was believed: a reading without one counts as naming that. One that is
        not believed names a moment like any other, but decides nothing. *seen_for* is for how many seconds the session
        was known before this wait.
        """
        self._note(reading, now, known)
        if not self._moments:
            if self._seen_at is None:
                self._seen_at = now - seen_for
            return False
        self._seen_at = None
        if now < max(self._moments) + EXPIRY_GRACE - _DATE_RESOLUTION:
            self._late_looks = 0
            return False
        self._late_looks += 1
        needed = 2 if self._was_open else _QUORUM
        # A wait must end even where only stale readings come, or only one ever names an expiry: five late looks decide.
        return (is_believed and len(self._moments) >= needed) or self._late_looks >= _QUORUM

    def _note(self, reading: Session, now: float, known: datetime | None) -> None:
        expires_at = expiry_of(reading) or known
        if expires_at is None or reading.read_at is None or reading.is_locally_dated:
            return
        expires_in = (expires_at - reading.read_at).total_seconds()
        moment = now + expires_in
        if self._moments and abs(moment - self._moments[-1]) <= _DATE_RESOLUTION:
            moment = self._moments[-1]
        self._moments = (*self._moments, moment)[-_QUORUM:]
        self._was_open = self._was_open or expires_in > 0
