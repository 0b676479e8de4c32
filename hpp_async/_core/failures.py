"""
What the failures of one wait mean, and when to read again after one.

Three back-offs
===============

Three things are asked again after a failure, each with a delay of its own. They are the only ones.

=====================  ==================================  ==========================================  ===============
what is asked again    when                                delay                                       where
=====================  ==================================  ==========================================  ===============
an attempt of a read   a transient failure; up to the      0.5, 1, 2 … at most 5 s, full jitter; a     `_http.retry`
                       client's ``attempts`` in all        hint of at most 5 s is kept
a read of a wait       the read failed, after its last     2, 4 … 64 s, jittered down to half; no      here
                       attempt                             longer than the schedule's delay; a hint
                                                           of at most 300 s is kept
any read of the        a 429                               all reads of the client pause for the       `token_bucket`
client                                                     hint, else for 1, 2 … 64 s, at most 60 s;
                                                           then the rate is half, and climbs back
                                                           within a minute
=====================  ==================================  ==========================================  ===============

Two deadlines
=============

- The *attempt timeout* (``HPPClient(timeout=10.0)``) bounds one attempt of a read, connection and body included. What
  it cuts off is a `TransportError`, which is tried again.
- The *wait timeout* (``wait_for_outcome(timeout=…)``) ends the wait, with one last look that is waited for no longer
  than one attempt timeout: see `_core.deadline`.

Beside them a wait has an *outage tolerance*: how long it goes on while nothing can be read.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import attrs

from hpp_async._core.exceptions import AuthenticationError, HPPError, ReadError, SessionNotFoundError

CONFIRMATION_DELAY: Final = 2.0
"""
Seconds to a confirmation read, which settles a doubt.

There are four doubts: a 404, or a 401 or 403, on a session that was read before; an expiry that only one reading names;
and a notification after which nothing had changed.
"""

_CONFIRMED_BY: Final = 3
"""Answers of one kind without a reading in between (the first, and two confirmation reads) that are believed."""

_FIRST_DELAY: Final = 2.0
_DOUBLINGS: Final = 5  # 2, 4, 8 … 64 s; the exponent is capped, an endless outage would overflow it
_FOREVER: Final = float("inf")
_HINT_MAXIMUM: Final = 300.0
"""No server hint delays a wait by more: a header is not trusted with a night of somebody's money."""


class Meaning(Enum):
    """What a failure says of the session."""

    NOTHING = auto()
    """Nothing was learnt: an outage, until there is a reading."""
    DOUBTFUL = auto()
    """The provider answered, and a confirmation read must say the same before it is believed."""
    BELIEVED = auto()
    """The provider's answer is believed."""


@attrs.define(eq=False, weakref_slot=False)
class Failures:
    """The failures since the last reading, which ends them all. Times are loop seconds."""

    last: HPPError
    outage_since: float | None = attrs.field(init=False, default=None)
    """When the outage began: failures in a row that say nothing of the session."""
    _backoffs: int = attrs.field(init=False, default=0)
    _missing: int = attrs.field(init=False, default=0)
    """404s so far. Other failures in between neither count nor clear them."""
    _refused: int = attrs.field(init=False, default=0)
    """The same of 401s and 403s."""
    _due: float = attrs.field(init=False, default=_FOREVER)
    """When the read after the last failure was planned."""
    _resumed_at: float = attrs.field(init=False, default=-_FOREVER)

    def note(self, error: HPPError, now: float, *, asked_at: float, longest: float, held: float = 0.0) -> Meaning:
        """
        Note another failure at *now*, of a read from *asked_at*; return what it means for a session that was read.

        The time since the failure before counts as outage, but for what cannot have been spent on looking: how much
        later than planned the read began, and how much longer than *longest*, the longest that a read can take. The
        process was frozen then (suspended, stopped, in a debugger), or idle. *held* seconds of the delay are no such
        time: the client's own budget held the read back.
        """
        self.last = error
        if isinstance(error, SessionNotFoundError | AuthenticationError):
            self.outage_since, self._backoffs = None, 0
            is_missing = isinstance(error, SessionNotFoundError)
            self._missing += is_missing
            self._refused += not is_missing
            count = self._missing if is_missing else self._refused
            return Meaning.BELIEVED if count >= _CONFIRMED_BY else Meaning.DOUBTFUL
        if self.outage_since is None:
            self.outage_since = now
        else:
            began_at = max(asked_at, self._resumed_at)
            late = max(0.0, asked_at - max(self._due, self._resumed_at) - held)
            self.outage_since += late + max(0.0, now - began_at - longest)
        return Meaning.NOTHING

    def rests_until(self, due: float) -> None:
        """Note when the next read is planned."""
        self._due = due

    def lasted(self, now: float) -> float:
        """Return for how many seconds nothing could be read."""
        return 0.0 if self.outage_since is None else now - self.outage_since

    def ends_at(self, tolerance: float) -> float:
        """Return when the outage will have lasted for *tolerance* seconds; ∞ where there is none."""
        return _FOREVER if self.outage_since is None else self.outage_since + tolerance

    def resumed(self, left_at: float, now: float) -> None:
        """Note that no step was taken from *left_at* until *now*: idle time does not count as outage."""
        self._resumed_at = now
        if self.outage_since is not None:
            self.outage_since += now - left_at

    def confirm(self) -> float:
        """Return the seconds to a confirmation read."""
        return max(CONFIRMATION_DELAY, self._hint())

    def back_off(self, draw: float, longest: float) -> float:
        """
        Return the seconds to the next read, and note that one was delayed.

        *longest* is the schedule's own delay, which no back-off exceeds: the session may have moved unseen. A hint of
        the server's may. *draw*, uniform in [0, 1), is the jitter.
        """
        delay: float = min(longest, _FIRST_DELAY * 2 ** min(self._backoffs, _DOUBLINGS) * (1.0 - draw / 2))
        self._backoffs += 1
        return max(delay, self._hint())

    def _hint(self) -> float:
        hint = self.last.retry_after if isinstance(self.last, ReadError) else None
        return 0.0 if hint is None else min(hint, _HINT_MAXIMUM)
