"""
How many reads a second: a token bucket that slows down when the provider says so (AIMD).

Tokens come at the budget's rate; a read takes one. A few can be saved up, so that some reads that are due at once need
not wait for one another, but no second has more reads than the rate allows. A 429 halves the rate, and it climbs back
linearly within a minute: additive increase, multiplicative decrease, as TCP does it. An answer that says that little
of the merchant's quota is left pauses all reads until the quota's next window, so that captures and refunds go first.

A token is *reserved* when a read could go, and *spent* when it goes. The two moments are the same for a timer that
fires exactly; on a real event loop the second is a little later (see `hpp_async._core.budget`). Times are in loop
seconds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from hpp_async._core.exceptions import ConfigurationError

_FOREVER: Final = float("inf")
_LOWEST_RATE: Final = 0.001
_HINT_MAXIMUM: Final = 60.0
"""Seconds. No header pauses the reads for longer: what it says is approximate, and a typo must not stop a merchant."""

_WINDOW: Final = 1.0
"""Seconds that a used-up quota lasts where no header says so: the provider's limit is per second (rate limit page)."""

_SAVING: Final = 0.2
"""Seconds of the rate that may be saved up, so that a few reads that are due at once need not wait."""

_SHORTEST_PAUSE: Final = 0.05

_RECOVERY: Final = 60.0
"""Seconds in which the rate climbs back to what it was."""

_LOWEST_SHARE: Final = 1 / 64
ROUNDING: Final = 1e-9
"""Seconds, or tokens, that are none: sums of floats are not exact."""

_RESERVE: Final = 0.25
"""Below this share of the limit reads stop until the reset, so that captures and refunds go first."""


@attrs.frozen
class ReadBudget:
    """
    What the reads of one client may use of the merchant's quota.

    Args:
        reads_per_second: over all waits and reads of the client, retries included, and in every second. What was not
            used in the last fifth of a second can be used at once, but for no more than *max_in_flight* reads.
        max_in_flight: how many reads may be in flight at once.

    Raises:
        ConfigurationError: not a positive number of reads, or less than one in flight.
    """

    reads_per_second: float
    max_in_flight: int = 10

    def __attrs_post_init__(self) -> None:
        rate: object = self.reads_per_second
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not _LOWEST_RATE <= rate < _FOREVER:
            raise ConfigurationError(
                f"ReadBudget.reads_per_second={rate!r}: give a number of reads of at least {_LOWEST_RATE:g}"
            )
        limit: object = self.max_in_flight
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"ReadBudget.max_in_flight={limit!r}: give a whole number of at least 1")


@attrs.frozen(kw_only=True)
class Quota:
    """What an answer says of the merchant's quota; the provider calls it approximate, and may leave it out."""

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


class TokenBucket:
    """The tokens of one `ReadBudget`."""

    def __init__(self, limits: ReadBudget) -> None:
        self._limits = limits
        self._tokens = self._most_saved(limits.reads_per_second)
        self._counted_at = -_FOREVER
        """Until when the tokens that came are counted."""
        self._reserved = 0
        self._spent_at = deque[float]()
        """When the reads of the last second went out."""
        self._paused_until = -_FOREVER
        self._share = 1.0
        """Of the budget's rate, at the end of the last pause; it climbs from there."""
        self._refusals = 0
        """429s since the last good answer: without a hint each pause is twice as long as the one before."""

    def ready_at(self, now: float) -> float:
        """Return when a token can be reserved, at *now* or later."""
        rate = self._rate(now)
        window_ends_at = self._window_ends_at(now, rate)
        self._count(now, rate, window_ends_at)
        missing = 1.0 - self._tokens
        ready_at = max(now, self._paused_until) + (missing / rate if missing > ROUNDING else 0.0)
        return max(ready_at, window_ends_at) if window_ends_at - now > ROUNDING else ready_at

    def take(self, now: float) -> bool:
        """Take a token for a read that goes out at *now*; tell whether there was one."""
        if self.ready_at(now) - now > ROUNDING:
            return False
        self._tokens -= 1.0
        self._note(now)
        return True

    def reserve(self, now: float) -> None:
        """Take a token at *now*, for a read that may go out."""
        self.ready_at(now)
        self._tokens -= 1.0
        self._reserved += 1

    def give_back(self, count: int, *, at_most: float = _FOREVER) -> None:
        """Give reserved tokens back, so that there are no more than *at_most*."""
        self._tokens = min(self._tokens + count, at_most)
        self._reserved -= count

    def spend(self, now: float) -> None:
        """Note that a read for which a token was reserved goes out."""
        self._reserved -= 1
        self._note(now)

    def answered(self, quota: Quota, now: float) -> float | None:
        """Note what a good answer says of the quota; return when the pause that it means is over, if it means one."""
        self._refusals = 0
        if quota.limit is None or quota.remaining is None or quota.remaining >= quota.limit * _RESERVE:
            return None
        self._pause(now, _WINDOW if quota.reset is None else quota.reset)
        return self._paused_until

    def refused(self, retry_after: float | None, now: float) -> float:
        """Note a 429 and return when the pause that it means is over."""
        # Once for each pause: the answers of reads that were in flight together say the same thing.
        is_new = now >= self._paused_until
        self._refusals += is_new
        guess = _WINDOW * 2.0 ** min(self._refusals - 1, 6)
        self._pause(now, guess if retry_after is None else retry_after)
        if is_new:
            self._share = max(_LOWEST_SHARE, self._share / 2)
        return self._paused_until

    def _note(self, now: float) -> None:
        self._spent_at.append(now)
        while self._spent_at[0] < now - max(_WINDOW, 1.0 / self._limits.reads_per_second):
            self._spent_at.popleft()

    def _window_ends_at(self, now: float, rate: float) -> float:
        """Return until when no read may go out because the last second has as many as it may have."""
        most = max(1, int(rate * _WINDOW))
        left = most - self._reserved
        if left <= 0:
            return now + most / rate  # at the earliest: those that are reserved have not gone out yet
        return self._spent_at[-left] + most / rate if len(self._spent_at) >= left else -_FOREVER

    def _count(self, now: float, rate: float, window_ends_at: float) -> None:
        if now <= self._counted_at:
            return
        since = max(self._counted_at, self._paused_until)
        if since < (until := min(now, window_ends_at)):
            # While the second is used up nothing is saved: else as many would go at once when it ends.
            self._tokens = min(1.0, self._tokens + (until - since) * rate)
            since = until
        self._tokens = min(self._most_saved(rate), self._tokens + max(0.0, now - since) * rate)
        self._counted_at = now

    def _most_saved(self, rate: float) -> float:
        return max(1.0, min(self._limits.max_in_flight, rate * _SAVING // 1))

    def _rate(self, now: float) -> float:
        recovered = max(0.0, now - self._paused_until) / _RECOVERY if self._share < 1.0 else 0.0
        return self._limits.reads_per_second * min(1.0, self._share + recovered)

    def _pause(self, now: float, length: float) -> None:
        self.ready_at(now)  # count what came, and how far the rate has climbed, up to here
        self._share = self._rate(now) / self._limits.reads_per_second
        self._tokens = min(1.0, self._tokens)  # what was saved up before must not go at once afterwards
        self._paused_until = max(self._paused_until, now + min(_HINT_MAXIMUM, max(_SHORTEST_PAUSE, length)))
