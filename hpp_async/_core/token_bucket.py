"""
How many reads a second: a token bucket that slows down when the provider says so (AIMD).

Tokens come at the budget's rate, and each read takes one. A few can be saved up, so that reads that are due at the same
time need not wait for one another, but no second has more reads than the rate, rounded up. A 429 halves the rate, which
then climbs back linearly within a minute: additive increase, multiplicative decrease, as in TCP. Where an answer says
that little of the merchant's quota is left, all reads pause until the quota resets, so that captures and refunds go
first.

A token is *reserved* at the moment at which a read may go out, and *spent* when the read goes out. If timers fired
exactly on time, the two moments would be the same; on a real event loop the second is a little later (see
`hpp_async._core.budget`). Times are in loop seconds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import attrs

from hpp_async._core.exceptions import ConfigurationError

_FOREVER: Final = float("inf")
_LOWEST_RATE: Final = 0.001
_HINT_MAXIMUM: Final = 60.0
"""Seconds. No header pauses the reads for longer: a wrong header must not stop a merchant's reads."""

_WINDOW: Final = 1.0
"""
Seconds of the window in which reads are counted: the provider's limit is per second (rate limit page).

A quota that is used up resets after one window, unless a header says when.
"""

_SAVING: Final = 0.2
"""Seconds: the tokens of this time may be saved up, so that a few reads that are due at once need not wait."""

_SHORTEST_PAUSE: Final = 0.05
"""Seconds. A quota or a 429 that asks for less pauses the reads for this long."""

_RECOVERY: Final = 60.0
"""Seconds in which the rate climbs from zero to the whole rate: from half of it, it takes 30."""

_LOWEST_SHARE: Final = 1 / 64
"""However many 429s come, the rate falls no lower than to this share."""

ROUNDING: Final = 1e-9
"""Seconds or tokens. A difference that is no larger counts as none, because sums of floats are not exact."""

_RESERVE: Final = 0.25
"""Where less than this share of the quota remains, reads pause until it resets: captures and refunds go first."""


@attrs.frozen
class ReadBudget:
    """
    How much of the merchant's quota one client may use.

    Args:
        reads_per_second: the most requests in any second, rounded up, over all waits and reads of the client, retries
            and `HPPClient.disable_session` included. Tokens that were not used in the last fifth of a second can be
            used together, but no more than *max_in_flight* of them.
        max_in_flight: how many reads may be in flight at once.

    Raises:
        ConfigurationError: *reads_per_second* is not a finite number of at least 0.001, or *max_in_flight* is not a
            whole number of at least 1.
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


def checked_budget(budget: object) -> ReadBudget:
    """
    Return *budget*, which a user gave.

    Raises:
        ConfigurationError: it is not a `ReadBudget`.
    """
    if not isinstance(budget, ReadBudget):
        raise ConfigurationError(f"budget={budget!r}: give a ReadBudget, such as ReadBudget(50)")
    return budget


@attrs.frozen(kw_only=True)
class Quota:
    """
    What the headers of an answer say of the merchant's quota.

    The provider calls the numbers approximate, and may leave them out: then they are ``None``.

    Attributes:
        limit: how many requests the quota has in all.
        remaining: how many of them are left.
        reset: seconds until the quota is full again.
    """

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


class TokenBucket:
    """The tokens of one `ReadBudget`."""

    def __init__(self, limits: ReadBudget) -> None:
        self._limits = limits
        self._tokens = self._most_saved(limits.reads_per_second)
        self._counted_at = -_FOREVER
        """Up to when the tokens that came have been added to `_tokens`."""
        self._reserved = 0
        """How many tokens are reserved and not yet spent."""
        self._spent_at = deque[float]()
        """When the reads of the last second went out."""
        self._paused_until = -_FOREVER
        self._share = 1.0
        """The share of the budget's rate that was left when the last pause ended; the rate climbs from there."""
        self._refusals = 0
        """Pauses after a 429 since the last good answer. Without a hint, each is twice as long as the one before."""

    def set_limits(self, limits: ReadBudget, now: float) -> None:
        """Change the limits: the tokens that came until *now* stay, but for what may not be saved up any more."""
        self.ready_at(now)
        self._limits = limits
        self._tokens = min(self._tokens, self._most_saved(limits.reads_per_second))

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
        """Give *count* reserved tokens back; the bucket then has no more than *at_most*."""
        self._tokens = min(self._tokens + count, at_most)
        self._reserved -= count

    def can_spend_at(self, now: float) -> float:
        """
        Return when a read for which a token is reserved may go out, at *now* or later.

        That is *now*, unless tokens were reserved at moments that the process slept through (a suspended machine, a
        blocked event loop): such reads must not all go out together when it wakes.
        """
        rate = self._rate(now)
        most = max(1, int(rate * _WINDOW))
        opens_at = self._spent_at[-most] + most / rate if len(self._spent_at) >= most else now
        return opens_at if opens_at - now > ROUNDING else now

    def spend(self, now: float) -> None:
        """Note that a read for which a token was reserved goes out."""
        self._reserved -= 1
        self._note(now)

    def answered(self, quota: Quota, now: float) -> float | None:
        """Note the *quota* in a good answer; if it calls for a pause, return when the pause ends."""
        self._refusals = 0
        if quota.limit is None or quota.remaining is None or quota.remaining >= quota.limit * _RESERVE:
            return None
        self._pause(now, _WINDOW if quota.reset is None else quota.reset)
        return self._paused_until

    def refused(self, retry_after: float | None, now: float) -> float:
        """Note a 429, with the seconds that it asks for; return when its pause ends."""
        # The rate is halved once per pause: the 429s of reads that were in flight together count as one.
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
        """Return when the limit of reads per second allows another read; in the past (or -∞) where it does now."""
        most = max(1, int(rate * _WINDOW))
        left = most - self._reserved
        if left <= 0:
            return now + most / rate  # at the earliest: the reads with reserved tokens have not gone out yet
        return self._spent_at[-left] + most / rate if len(self._spent_at) >= left else -_FOREVER

    def _count(self, now: float, rate: float, window_ends_at: float) -> None:
        """Add the tokens that came since they were counted last."""
        if now <= self._counted_at:
            return
        since = max(self._counted_at, self._paused_until)
        if since < (until := min(now, window_ends_at)):
            # Until the window allows another read, no more than one token is saved: else the reads that it held back
            # would all go out when it ends.
            self._tokens = min(1.0, self._tokens + (until - since) * rate)
            since = until
        self._tokens = min(self._most_saved(rate), self._tokens + max(0.0, now - since) * rate)
        self._counted_at = now

    def _most_saved(self, rate: float) -> float:
        return max(1.0, min(self._limits.max_in_flight, rate * _SAVING // 1))

    def _rate(self, now: float) -> float:
        # The condition only saves time: a whole share stays whole.
        recovered = max(0.0, now - self._paused_until) / _RECOVERY if self._share < 1.0 else 0.0
        return self._limits.reads_per_second * min(1.0, self._share + recovered)

    def _pause(self, now: float, length: float) -> None:
        self.ready_at(now)  # adds the tokens that came until now, at the rate before the pause
        self._share = self._rate(now) / self._limits.reads_per_second
        self._tokens = min(1.0, self._tokens)  # tokens saved up before the pause must not be used at once after it
        self._paused_until = max(self._paused_until, now + min(_HINT_MAXIMUM, max(_SHORTEST_PAUSE, length)))
