"""
How many reads the merchant can spare now.

The provider counts per merchant, captures and refunds included, so all waits of a client share one budget and queue for
it. Four mechanisms from the literature work together:

*Token bucket* for the rate. Tokens that were not needed are saved up, a fifth of a second's worth, for reads that are
due at the same moment. A sliding window bounds the sum: within every second there are no more reads than the rate
allows.

*Start-time fair queueing* for the order, which matters when the budget is short. By time of arrival, every read would
wait equally long, whether the next one was promised in 2 seconds or in 5 minutes. By priority, the lowest would starve.
So the queue is ordered by due time on a *virtual clock*, which runs with the real one and stops while a read that is
due has to wait. Every delay is then stretched by the same factor, no session starves, and there is no burst afterwards.

*AIMD* for a 429: the rate is halved, and climbs back linearly within a minute.

*Thundering herd* is what the queue prevents after a pause: the reads that waited go out at the rate, in their order.
(The poller prevents it after a restart: it spreads the first delays.)

Nothing here awaits or looks at a clock. A driver takes a `Turn`, asks whether it is admitted, and is told when to ask
again. Times are loop seconds.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from hpp_async._core.exceptions import ConfigurationError

_FOREVER: Final = float("inf")
_LOWEST_RATE: Final = 0.001
_HINT_MAXIMUM: Final = 60.0
"""Seconds. No header closes the budget for longer: what it says is approximate, and a typo must not stop a merchant."""

_WINDOW: Final = 1.0
"""Seconds a closed window lasts where no header says so; the provider's limit is per second (rate limit page)."""

_SAVING: Final = 0.2
"""Seconds of the rate that may be saved up, so that a few reads due at once do not stop the virtual clock."""

_SHORTEST_PAUSE: Final = 0.05

_RECOVERY: Final = 60.0
"""Seconds in which the rate climbs back to what it was."""

_LOWEST_SHARE: Final = 1 / 64
_ROUNDING: Final = 1e-9
_RESERVE: Final = 0.25
"""Below this share of the limit reads stop until the reset, so that captures and refunds go first."""


@attrs.frozen
class ReadBudget:
    """
    What the reads of one client may use of the merchant's quota.

    Args:
        reads_per_second: the most reads in any second, over all waits and reads of the client, retries included. Reads
            that were not used in the last fifth of a second can go out at once, up to *max_in_flight* of them.
        max_in_flight: the most reads that are in flight at once.

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
        most = self.max_in_flight
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ConfigurationError(f"ReadBudget.max_in_flight={most!r}: give a whole number of at least 1")


@attrs.frozen(kw_only=True)
class Quota:
    """What an answer says of the merchant's quota; the provider calls it approximate, and may leave it out."""

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None


@attrs.define(eq=False)
class Turn:
    """
    A place in the queue for a read that is due at *key*, in virtual time.

    *wake* is called when it is worth asking again whether it is admitted. *is_under_way* marks another attempt of a
    read that is in flight already.
    """

    key: float
    wake: Callable[[], object]
    is_under_way: bool = False
    is_waiting: bool = True


class Budget:
    """The state of one `ReadBudget`."""

    def __init__(self, limits: ReadBudget) -> None:
        self._limits = limits
        self._queue: list[tuple[bool, float, int, Turn]] = []
        self._order = itertools.count()
        self._in_flight = 0
        self._tokens = self._most_saved(limits.reads_per_second)
        self._admitted_at = deque[float]()
        self._counted_at = -_FOREVER
        self._virtual = 0.0
        self._seen_at: float | None = None
        self._paused_until = -_FOREVER
        self._share = 1.0
        self._refusals = 0

    @property
    def max_in_flight(self) -> int:
        """How many reads may be in flight at once."""
        return self._limits.max_in_flight

    # -- the queue --------------------------------------------------------------------------------------------------

    def virtual(self, now: float) -> float:
        """Return the virtual time at *now*: it stops at the key of a turn that waits."""
        if self._seen_at is None:
            self._virtual = now
        elif now > self._seen_at:
            head = self._head()
            ran = self._virtual + now - self._seen_at
            self._virtual = ran if head is None else max(self._virtual, min(ran, head.key))
        self._seen_at = now if self._seen_at is None else max(now, self._seen_at)
        return self._virtual

    def lateness(self, now: float) -> float:
        """Return the real time minus the virtual one."""
        return now - self.virtual(now) or 0.0  # one zero object for all that keep it

    def queue(self, key: float, now: float, wake: Callable[[], object], *, is_under_way: bool = False) -> Turn:
        """Return a turn in the queue; see `Turn` for the arguments."""
        self.virtual(now)
        turn = Turn(key, wake, is_under_way)
        # A read under way counts as in flight already: another attempt of it must never wait for a read that may not
        # start before one in flight is over.
        heapq.heappush(self._queue, (not is_under_way, key, next(self._order), turn))
        return turn

    def leave(self, turn: Turn) -> None:
        """Take the turn out of the queue."""
        if turn.is_waiting:
            was_head = self._head() is turn
            turn.is_waiting = False
            if was_head:
                self._wake_head()

    def admit(self, turn: Turn, now: float) -> bool:
        """Tell whether the read is admitted; then the turn is used up, and `release` must follow once for each read."""
        if self.opens_at(turn, now) > now:
            return False
        turn.is_waiting = False
        self._tokens -= 1.0
        self._admitted_at.append(now)
        while self._admitted_at[0] < now - _WINDOW:
            self._admitted_at.popleft()
        self._in_flight += not turn.is_under_way
        self._wake_head()
        return True

    def opens_at(self, turn: Turn, now: float) -> float:
        """Return when to ask about *turn* again at the latest; infinity for one that will be woken."""
        virtual = self.virtual(now)
        is_full = self._in_flight >= self._limits.max_in_flight and not turn.is_under_way
        if self._head() is not turn or is_full:
            return _FOREVER
        early = turn.key - virtual
        return max(now + early if early > _ROUNDING else now, self._free_at(now))

    def release(self) -> None:
        """Note that a read that was admitted is over."""
        self._in_flight -= 1
        self._wake_head()

    def _head(self) -> Turn | None:
        while self._queue and not self._queue[0][-1].is_waiting:
            heapq.heappop(self._queue)
        return self._queue[0][-1] if self._queue else None

    def _wake_head(self) -> None:
        head = self._head()
        if head is not None:
            head.wake()

    # -- the rate ---------------------------------------------------------------------------------------------------

    def _free_at(self, now: float) -> float:
        """Return when rate and pause allow the next read, by token bucket and sliding window."""
        rate = self._rate(now)
        fit = max(1, int(rate * _WINDOW))
        is_full = len(self._admitted_at) >= fit
        window_ends_at = self._admitted_at[-fit] + fit / rate if is_full else -_FOREVER
        if now > self._counted_at:
            since = max(self._counted_at, self._paused_until)
            if since < (until := min(now, window_ends_at)):
                # While the window is full nothing is saved up or kept: otherwise the burst with which the window began
                # would come again when it ends.
                self._tokens = min(1.0, self._tokens + (until - since) * rate)
                since = until
            self._tokens = min(self._most_saved(rate), self._tokens + max(0.0, now - since) * rate)
            self._counted_at = now
        missing = 1.0 - self._tokens
        free_at = max(now, self._paused_until) + (missing / rate if missing > _ROUNDING else 0.0)
        return max(free_at, window_ends_at) if window_ends_at - now > _ROUNDING else free_at

    def _most_saved(self, rate: float) -> float:
        return max(1.0, min(self._limits.max_in_flight, rate * _SAVING // 1))

    def _rate(self, now: float) -> float:
        recovered = max(0.0, now - self._paused_until) / _RECOVERY if self._share < 1.0 else 0.0
        return self._limits.reads_per_second * min(1.0, self._share + recovered)

    def refused(self, retry_after: float | None, now: float) -> float:
        """Note a 429, which arrived at *now* and asks for *retry_after* seconds; return when the pause is over."""
        # Once per pause: the answers of reads that were in flight together say the same thing.
        is_new = now >= self._paused_until
        self._refusals += is_new
        guess = _WINDOW * 2.0 ** min(self._refusals - 1, 6)
        self._pause(now, guess if retry_after is None else retry_after)
        if is_new:
            self._share = max(_LOWEST_SHARE, self._share / 2)
        return self._paused_until

    def answered(self, quota: Quota, now: float) -> float | None:
        """Note what a good answer says of the quota; return when the pause is over that this means, if it means one."""
        self._refusals = 0
        if quota.limit is None or quota.remaining is None or quota.remaining >= quota.limit * _RESERVE:
            return None
        self._pause(now, _WINDOW if quota.reset is None else quota.reset)
        return self._paused_until

    def _pause(self, now: float, length: float) -> None:
        self._free_at(now)  # bring the tokens and the rate up to date first
        self._share = self._rate(now) / self._limits.reads_per_second
        self._tokens = min(1.0, self._tokens)  # saved tokens must not make a burst after the pause
        self._paused_until = max(self._paused_until, now + min(_HINT_MAXIMUM, max(_SHORTEST_PAUSE, length)))
