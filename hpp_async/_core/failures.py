"""
What the failed reads of one wait mean, and when to read again after one.

Three back-offs
===============

Three things are done again after a failure, each after a delay of its own. A *hint* is the number of seconds for which
the server asks. (One thing has no delay: a request whose connection was dropped is repeated immediately, one time.)

=====================  ==================================  ==========================================  ===============
what is done again     when                                delay                                       where
=====================  ==================================  ==========================================  ===============
an attempt of a read   after a transient failure, up to    0.5, 1, 2 … at most 5 s with full jitter,   `_http.retry`
                       the client's ``attempts`` in all,   and at least the hint
                       unless the hint is over 5 s
a read of a wait       after its last attempt has failed   2, 4 … 64 s, jittered down to half, at      here
                                                           most the schedule's delay, and at least
                                                           the hint, which counts as at most 300 s
any read of the        after a 429                         all reads pause for the hint, or without    `token_bucket`
client                                                     one for 1, 2, 4 … s; at most for 60 s.
                                                           Then the rate is half, and climbs back
                                                           within a minute
=====================  ==================================  ==========================================  ===============

Two deadlines
=============

- The *attempt timeout* (``HPPClient(timeout=10.0)``) bounds one attempt of a read, connection and body included. When
  it passes, the attempt fails with a `TransportError`, and is tried again.
- The *wait timeout* (``wait_for_outcome(timeout=…)``) bounds the wait. When it passes, one last read is made, and the
  wait gives it no longer than one attempt timeout: see `_core.deadline`.

Beside them, a wait has an *outage tolerance*: how long it goes on while the session cannot be read.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum, auto
from typing import Final, Self

import attrs

from hpp_async._core.exceptions import AuthenticationError, HPPError, ReadError, SessionNotFoundError
from hpp_async._core.memory import Failing

CONFIRMATION_DELAY: Final = 2.0
"""
Seconds to a confirmation read: one more read, which settles a suspicion.

There are four suspicions: a 404 on a session that was read before; a 401 or 403 on one; an expiry by the newest reading
alone; and a notification after which nothing had changed.
"""

_CONFIRMED_BY: Final = 3
"""How many answers of one kind are believed if no reading comes in between: the first and two confirmation reads."""

_FIRST_DELAY: Final = 2.0
_DOUBLINGS: Final = 5  # 2, 4, 8 … 64 s; without this cap, an endless outage would overflow the power of two
_FOREVER: Final = float("inf")
HINT_MAXIMUM: Final = 300.0
"""Seconds. A longer hint counts as this long: one wrong header must not hide a payment for hours."""


class Meaning(Enum):
    """What a failure says of the session."""

    NOTHING = auto()
    """Nothing. The session could not be read, so an outage has begun or goes on."""
    DOUBTFUL = auto()
    """The answer is a 404, 401 or 403. If the session was read before, confirmation reads must say the same first."""
    BELIEVED = auto()
    """The answer is a 404, 401 or 403, and confirmation reads said the same."""


@attrs.define(eq=False, weakref_slot=False)
class Failures:
    """The failures of one wait since its last reading; the next reading discards them. Times are loop seconds."""

    last: HPPError | None = None
    """The last failure; ``None`` where all of them were before a restart."""
    outage_since: float | None = attrs.field(init=False, default=None)
    """When the outage began: a row of failures that say nothing of the session. ``None`` where there is none."""
    missing_at: datetime | None = attrs.field(init=False, default=None)
    """The earliest ``Date`` of a 404 so far; ``None`` where none had one."""
    _backoffs: int = attrs.field(init=False, default=0)
    """How many back-offs there were in this outage."""
    _missing: int = attrs.field(init=False, default=0)
    """404s so far. Other failures in between neither count nor clear them."""
    _refused: int = attrs.field(init=False, default=0)
    """401s and 403s so far, counted in the same way."""
    _due: float = attrs.field(init=False, default=_FOREVER)
    """When the next read is due. ∞ until `rests_until` is called: no read is late then."""
    _idle: tuple[tuple[float, float], ...] = attrs.field(init=False, default=())
    """From when to when no step was taken, since the last failure."""

    @classmethod
    def resume(cls, failing: Failing, at: float, due: float) -> Self:
        """Return the failures of an earlier wait: *failing*, as of *at*. Its next read was due at *due*."""
        failures = cls()
        failures.outage_since = None if failing.lasted is None else at - failing.lasted
        failures._backoffs, failures._missing, failures._refused = failing.backoffs, failing.missing, failing.refused
        failures.missing_at = failing.missing_at
        failures.rests_until(due)
        return failures

    def remembered(self, at: float) -> Failing:
        """Return what a later wait must know of them, as of *at*, when the last read was over."""
        return Failing(
            lasted=None if self.outage_since is None else max(0.0, at - self.outage_since),
            backoffs=self._backoffs,
            missing=self._missing,
            refused=self._refused,
            missing_at=self.missing_at,
        )

    def note(self, error: HPPError, now: float, *, asked_at: float, longest: float, held: float = 0.0) -> Meaning:
        """
        Note a failure that came at *now*, of a read that began at *asked_at*; return what it says of the session.

        The time since the failure before counts as outage, except where the process was idle or frozen (suspended,
        stopped, in a debugger). That shows in two ways: the read began later than planned, or it took longer than
        *longest*, the seconds that a read can take. Both excesses are left out. But *held* seconds of a late start do
        count, because the client's own budget held the read back.
        """
        self.last = error
        if isinstance(error, SessionNotFoundError | AuthenticationError):
            self.outage_since, self._backoffs = None, 0
            is_missing = isinstance(error, SessionNotFoundError)
            if is_missing and error.read_at is not None:
                self.missing_at = min(self.missing_at or error.read_at, error.read_at)
            self._missing += is_missing
            self._refused += not is_missing
            count = self._missing if is_missing else self._refused
            return Meaning.BELIEVED if count >= _CONFIRMED_BY else Meaning.DOUBTFUL
        if self.outage_since is None:
            self.outage_since = now
        else:
            late = asked_at - self._due - self._idle_between(self._due, asked_at) - held
            too_long = now - asked_at - self._idle_between(asked_at, now) - longest
            self.outage_since += max(0.0, late) + max(0.0, too_long)
        return Meaning.NOTHING

    def _idle_between(self, start: float, end: float) -> float:
        return sum(max(0.0, min(end, until) - max(start, since)) for since, until in self._idle)

    def rests_until(self, due: float) -> None:
        """Note when the next read is due."""
        self._due, self._idle = due, ()

    def lasted(self, now: float) -> float:
        """Return for how many seconds the outage has lasted; 0 where there is none."""
        return 0.0 if self.outage_since is None else now - self.outage_since

    def ends_at(self, tolerance: float) -> float:
        """Return when the outage will have lasted for *tolerance* seconds; ∞ where there is none."""
        return _FOREVER if self.outage_since is None else self.outage_since + tolerance

    def resumed(self, left_at: float, now: float) -> None:
        """Note that no step was taken from *left_at* until *now*: idle time does not count as outage."""
        if left_at < now:
            self._idle = (*self._idle, (left_at, now))
            if self.outage_since is not None:
                self.outage_since += now - left_at

    def confirm(self) -> float:
        """Return the seconds to a confirmation read."""
        return max(CONFIRMATION_DELAY, self._hint())

    def back_off(self, draw: float, longest: float) -> float:
        """
        Return the seconds to the next read, and note that there was one more back-off.

        *longest* is the schedule's own delay. The back-off never exceeds it, because the session may change unseen
        meanwhile. A hint may exceed it. *draw*, uniform in [0, 1), is for the jitter.
        """
        delay: float = min(longest, _FIRST_DELAY * 2 ** min(self._backoffs, _DOUBLINGS) * (1.0 - draw / 2))
        self._backoffs += 1
        return max(delay, self._hint())

    def _hint(self) -> float:
        hint = self.last.retry_after if isinstance(self.last, ReadError) else None
        return 0.0 if hint is None else min(hint, HINT_MAXIMUM)
