"""
Whether a session has expired, by a quorum of readings.

The provider has no EXPIRED status, so expiry is inferred from ``expires_at``. A wrong inference is expensive: the shop
sells the goods again, and the session is paid a moment later. A single answer may come from a machine with a wrong
clock, or from a replica that is behind. Three rules follow.

*When.* Each reading gives an estimate of the expiry on the loop's clock: the loop time at which the reading arrived,
plus the distance from its ``Date`` to its ``expires_at``. The session expires at the latest of the last five estimates.
A reading that is dated by this machine's calendar gives no estimate, because that calendar may be days ahead.

*Whether.* The session has expired once a read that begins after that time (plus a grace) still shows it open, and a
quorum of readings agrees. When the reading arrives is no proof: if the process was frozen during the read, the answer
may have been made long before. The quorum is two if the ``Date`` of any reading was before its own ``expires_at``.
Otherwise no reading ever showed the session before its expiry, and the quorum is five. Five readings in a row from
after that time always settle it, stale ones too, because every wait must end.

*Never known.* Where no reading gives an estimate, the wait must end all the same: 72 hours after the session was first
seen. Klarna's sessions live for 47 hours. Kustom's can live longer, because their expiry moves, but their readings say
when they expire.

All times are loop seconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import attrs

from hpp_async._core.failures import CONFIRMATION_DELAY
from hpp_async._core.memory import Memory
from hpp_async._core.position import expiry_of
from hpp_async._core.session import Session

EXPIRY_GRACE: Final = 5.0
"""Seconds from the expiry to the read that decides: a payment in the last second needs time to show up."""

UNKNOWN_FOR: Final = 72 * 3600.0
"""Seconds for which a session is followed where no reading says when it expires."""

_QUORUM: Final = 5
"""How many estimates are kept, and how many must agree where no reading was made before the expiry."""

_SHARE_OF_DOUBT: Final = 0.1
"""How long a confirmation read waits, as a share of the time for which the expiry has been in doubt."""

_DATE_RESOLUTION: Final = 1.0
"""Seconds. ``Date`` has whole seconds, so the estimates of two readings may differ by one."""


@attrs.define(eq=False, weakref_slot=False)
class Expiry:
    """When one session expires, and whether it has. Owned by one poller."""

    _estimates: tuple[float, ...] = attrs.field(init=False, default=())
    """When the session expires by each of the last readings, oldest first."""
    _was_open: bool = attrs.field(init=False, default=False)
    """Whether any reading was made before the expiry that it gave."""
    _late_readings: int = attrs.field(init=False, default=0)
    """How many reads in a row began and ended after the expiry."""
    _in_doubt_since: float | None = attrs.field(init=False, default=None)
    """Since when the expiry has passed by some of the kept estimates; ``None`` if it has passed by none."""
    _expected_at: float | None = attrs.field(init=False, default=None)
    """When the session expires by the resume token; for the time until there is an estimate."""
    _seen_at: float | None = attrs.field(init=False, default=None)
    """When the session was first seen; ``None`` before that, and as soon as there is an estimate."""

    @property
    def was_open(self) -> bool:
        """Whether any reading was made before the expiry that it gave."""
        return self._was_open

    @property
    def late_readings(self) -> int:
        """How many readings in a row arrived after the expiry."""
        return self._late_readings

    def unknown_for(self, now: float) -> float | None:
        """Return for how many seconds the session is followed without an estimate; ``None`` where there is one."""
        return None if self._seen_at is None else max(0.0, now - self._seen_at)

    def resume(self, memory: Memory, at: float, *, known: datetime | None) -> None:
        """
        Go on from what an earlier wait remembers as of *at*; *known* is the ``expires_at`` that it believed.

        By *known* a read is due at the expiry. It is no estimate, because this machine's calendar has a part in it.
        """
        if known is not None:
            self._expected_at = at + known.timestamp() - memory.at
        self._was_open, self._late_readings = memory.was_open, min(memory.late_readings, _QUORUM)
        # Each late reading in a row gave an estimate that had passed, or came after one. When it was does not matter.
        self._estimates = (at - EXPIRY_GRACE,) * self._late_readings
        self._seen_at = None if memory.unknown_for is None else at - memory.unknown_for

    @property
    def at(self) -> float | None:
        """When the session expires, as far as is known."""
        return max(self._estimates) if self._estimates else None

    @property
    def deciding_read_at(self) -> float | None:
        """When the deciding read is due: after the expiry, or after 72 hours where nothing is known of it."""
        if self._estimates or self._expected_at is not None:
            return max(self._estimates or (self._expected_at or 0.0,)) + EXPIRY_GRACE
        return None if self._seen_at is None else self._seen_at + UNKNOWN_FOR

    def is_unknown(self, now: float) -> bool:
        """Tell whether the session was first seen 72 hours ago, and no reading gave an estimate."""
        return self._seen_at is not None and now >= self._seen_at + UNKNOWN_FOR

    def confirm_after(self, now: float) -> float:
        """
        Return within how many seconds a read is to confirm that the session has expired; ∞ if none is needed.

        A confirmation read is needed once the expiry has passed by the newest estimate, whether or not the other
        estimates agree. Its delay grows with the time for which the expiry has been in doubt: if some of the provider's
        clocks are two hours behind, the doubt may last for two hours.
        """
        if self._in_doubt_since is None or now < self._estimates[-1] + EXPIRY_GRACE:
            return float("inf")
        return max(CONFIRMATION_DELAY, _SHARE_OF_DOUBT * (now - self._in_doubt_since))

    def is_past(self, asked_at: float, *, said_at: datetime | None, known: datetime | None) -> bool:
        """
        Tell whether a 404 to a read that began at *asked_at* came after the expiry.

        *said_at* is the provider's date of the 404, and *known* is the last ``expires_at`` that was believed. Where
        there are estimates and *said_at* is known, the expiry must have passed by the estimates and by *said_at*, as
        there may be only one estimate, from a wrong ``Date``. Without *said_at* the estimates decide alone. After a
        restart there is no estimate: then *said_at* decides, against the ``expires_at`` of the resume token.
        """
        at = self.at
        if at is not None and (asked_at < at or said_at is None):
            return asked_at >= at
        return known is not None and said_at is not None and said_at >= known

    def observe(
        self,
        reading: Session,
        now: float,
        *,
        asked_at: float | None = None,
        known: datetime | None,
        is_believed: bool,
        seen_for: float = 0.0,
    ) -> bool:
        """
        Note *reading*, which arrived at *now*; return whether the session has now expired.

        *asked_at* is when the read began, by default *now*. *known* is the last ``expires_at`` that was believed; a
        reading without one of its own uses it. A reading that is not believed gives an estimate like any other, but it
        decides only as one of five late readings in a row. *seen_for* is for how many seconds the session was known
        before this wait.
        """
        began_at = now if asked_at is None else asked_at
        before = self.at
        self._note(reading, now, known)
        if not self._estimates:
            if self._seen_at is None:
                self._seen_at = now - seen_for
            return False
        self._seen_at = None
        at = max(self._estimates)
        # The reading's own estimate is late by its latency. So the beginning of the read is compared with the earlier
        # of the expiry as it was known then and as it is known now.
        decides_from = (at if before is None else min(at, before)) + EXPIRY_GRACE - _DATE_RESOLUTION
        if began_at < decides_from or now < at + EXPIRY_GRACE - _DATE_RESOLUTION:
            self._late_readings = 0
            return False
        self._late_readings += 1
        needed = 2 if self._was_open else _QUORUM
        # Five late readings in a row settle it: a wait must end even where only stale readings come, or where only one
        # reading ever gave an estimate.
        return (is_believed and len(self._estimates) >= needed) or self._late_readings >= _QUORUM

    def _note(self, reading: Session, now: float, known: datetime | None) -> None:
        expires_at = expiry_of(reading) or known
        if expires_at is None or reading.read_at is None or reading.is_locally_dated:
            return
        expires_in = (expires_at - reading.read_at).total_seconds()
        estimate = now + expires_in
        if self._estimates and abs(estimate - self._estimates[-1]) <= _DATE_RESOLUTION:
            estimate = self._estimates[-1]  # whole seconds cannot tell the two apart
        self._estimates = (*self._estimates, estimate)[-_QUORUM:]
        if now < min(self._estimates) + EXPIRY_GRACE:
            self._in_doubt_since = None
        elif self._in_doubt_since is None:
            self._in_doubt_since = now
        self._was_open = self._was_open or expires_in > 0
