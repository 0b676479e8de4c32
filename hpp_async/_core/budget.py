"""
Which read is next when the budget is short.

The provider counts requests per merchant, captures and refunds included, so all waits of a client share one budget. Its
rate is a token bucket (`hpp_async._core.token_bucket`); this module is the queue for the tokens.

*The virtual clock.* What the schedule made due is ordered by due time on a virtual clock, as in start-time fair
queueing. The clock runs with the real one, and stops while the budget holds the first read that is due: by its rate, by
a pause, or because enough reads are in flight. So a short budget stretches every delay by the same factor: a session
that was promised a read in 2 seconds is still read fifteen times as often as one that was promised it in 30, nobody
starves, and nobody bursts afterwards. By time of arrival both would wait equally long; by priority one would starve.

*Grants.* The clock must stop for nothing else: not because a timer of the event loop fired late, nor because a step
took time. So a read is *granted* its token at the very moment at which the budget allows it, computed afterwards if
need be, and the clock goes on from that moment; the read is *admitted* when its driver asks next.

*New arrivals.* First reads, reads that a caller asks for, and notifications did not come from the schedule, and there
is no limit to them. (The first read of a wait that goes on from a resume token is the schedule's.) They are served in
order of arrival, do not stop the clock, and take turns with what the schedule made due: whatever their number, the
schedule gets at least half of the tokens.

Nothing here awaits or looks at a clock: a driver queues a `Turn`, asks whether it is admitted, and is told when to ask
again. Times are in loop seconds; keys are in seconds of the virtual clock.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import attrs

from hpp_async._core.token_bucket import ROUNDING, Quota, ReadBudget, TokenBucket

_FOREVER: Final = float("inf")


class Kind(IntEnum):
    """Why a read is wanted."""

    AGAIN = 0
    """Another attempt of a read that is in flight. It has its place there, so it must never wait for one."""
    URGENT = 1
    """A caller's time has run out, or a session is to be disabled: before all other new arrivals."""
    NEW = 2
    """A first read, one that a caller asked for, or one after a notification."""
    DUE = 3
    """What the schedule made due."""


@attrs.define(eq=False)
class Turn:
    """A place in the queue; *wake* is called when it is worth asking again."""

    kind: Kind
    key: float
    """When a read of the schedule is due, by the virtual clock; without a meaning for the other kinds."""
    wake: Callable[[], object]
    is_granted: bool = False
    is_over: bool = False


class Budget:
    """The queue for the tokens of one `ReadBudget`."""

    def __init__(self, limits: ReadBudget) -> None:
        self._limits = limits
        self._bucket = TokenBucket(limits)
        self._heaps: dict[Kind, list[tuple[float, int, Turn]]] = {kind: [] for kind in Kind}
        self._order = itertools.count()
        self._granted = deque[Turn]()
        self._in_flight = 0
        self._lateness = 0.0
        """The real time minus the virtual one."""
        self._seen_at = -_FOREVER
        """Until when the virtual clock ran, in loop seconds."""
        self._is_schedule_next = True
        """Whether, of a new arrival and a read of the schedule that both wait, the latter gets the next token."""

    @property
    def max_in_flight(self) -> int:
        """How many reads may be in flight at once."""
        return self._limits.max_in_flight

    # -- the clock --------------------------------------------------------------------------------------------------

    def virtual(self, now: float) -> float:
        """Return the virtual time at *now*."""
        self._advance(now)
        return self._seen_at - self._lateness

    def lateness(self, now: float) -> float:
        """Return the real time minus the virtual one: for how long the budget has held the clock, in all."""
        self._advance(now)
        return self._lateness

    # -- the queue --------------------------------------------------------------------------------------------------

    def queue(self, kind: Kind, key: float, now: float, wake: Callable[[], object]) -> Turn:
        """Queue for a read; *key* is when one of the schedule is due, by the virtual clock."""
        self._advance(now)
        turn = Turn(kind, key, wake)
        self._push(turn, next(self._order))
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up a turn; without an effect on one that is over."""
        if turn.is_over:
            return
        was_head = turn.is_granted or self._head(turn.kind) is turn
        turn.is_over = True
        if turn.is_granted:
            self._granted.remove(turn)
            self._bucket.give_back(1)
        if was_head:
            self._wake_heads()

    def admit(self, turn: Turn, now: float) -> bool:
        """Tell whether the read may go out now; if so the turn is over, and `release` must follow for each read."""
        self._advance(now, asking=turn)
        if not turn.is_granted or (self._is_full and turn.kind is not Kind.AGAIN):
            return False
        turn.is_over = True
        self._granted.remove(turn)
        self._bucket.spend(now)
        self._in_flight += turn.kind is not Kind.AGAIN
        return True

    def admit_at_once(self, kind: Kind, key: float, now: float) -> bool:
        """
        Admit a read without a turn, if a token is there that nobody in the queue can use now; tell whether it was.

        It comes to the same as `queue` and `admit`, at a fifth of their cost. If it was admitted `release` must follow.
        """
        self._advance(now)  # so whoever can use a token has been granted one
        if self._is_full and kind is not Kind.AGAIN:
            return False
        if kind is Kind.DUE and self._early(key) > ROUNDING:
            return False
        if not self._bucket.take(now):
            return False
        if kind is not Kind.AGAIN:
            self._is_schedule_next = kind is not Kind.DUE
            self._in_flight += 1
        return True

    def opens_at(self, turn: Turn, now: float) -> float:
        """Return when to ask about *turn* again at the latest; never, for one that will be woken."""
        self._advance(now, asking=turn)
        if turn.is_granted:
            return _FOREVER if self._is_full and turn.kind is not Kind.AGAIN else now
        if self._head(turn.kind) is not turn or (self._is_full and turn.kind is not Kind.AGAIN):
            return _FOREVER
        return max(self._due_at(turn, now), self._bucket.ready_at(now))

    def wake_all(self) -> None:
        """Have everyone in the queue ask again."""
        for turn in self._turns():
            turn.wake()

    def forget(self) -> None:
        """Forget all turns and reads in flight: the event loop that they belonged to is gone."""
        self._bucket.give_back(len(self._granted))
        for turn in self._turns():
            turn.is_over = True
            turn.wake()
        self._granted.clear()
        for heap in self._heaps.values():
            heap.clear()
        self._in_flight = 0

    def release(self, now: float) -> None:
        """Note that a read that was admitted is over; not to be called for another attempt of one."""
        self._advance(now)
        self._in_flight -= 1
        self._wake_heads()

    # -- the tokens -------------------------------------------------------------------------------------------------

    def answered(self, quota: Quota, now: float) -> float | None:
        """Note what a good answer says of the quota; return when the pause that it means is over, if it means one."""
        self._advance(now)
        paused_until = self._bucket.answered(quota, now)
        if paused_until is not None:
            self._revoke()
        return paused_until

    def refused(self, retry_after: float | None, now: float) -> float:
        """Note a 429 and return when the pause that it means is over."""
        self._advance(now)
        paused_until = self._bucket.refused(retry_after, now)
        self._revoke()
        return paused_until

    # -- how it works -----------------------------------------------------------------------------------------------

    @property
    def _is_empty(self) -> bool:
        """Whether nobody is in the queue."""
        return not self._granted and not any(self._heaps.values())

    @property
    def _is_full(self) -> bool:
        return self._in_flight >= self._limits.max_in_flight

    def _turns(self) -> list[Turn]:
        return [*self._granted, *(turn for heap in self._heaps.values() for *_, turn in heap)]

    def _push(self, turn: Turn, number: int) -> None:
        heapq.heappush(self._heaps[turn.kind], (turn.key if turn.kind is Kind.DUE else 0.0, number, turn))

    def _head(self, kind: Kind) -> Turn | None:
        heap = self._heaps[kind]
        while heap and (heap[0][-1].is_over or heap[0][-1].is_granted):
            heapq.heappop(heap)
        return heap[0][-1] if heap else None

    def _advance(self, now: float, asking: Turn | None = None) -> None:
        """Let the virtual clock run until *now*, and grant the tokens that come meanwhile to the reads that wait."""
        if self._is_empty:
            self._seen_at = max(self._seen_at, now)
            return
        while True:
            turn, at = self._next_grant(self._seen_at)
            is_later = turn is None or at - now > ROUNDING
            if is_later and self._seen_at < now:
                self._run(now)  # and look again: while the rate climbs, tokens come earlier than was reckoned
            elif turn is None or is_later:
                return
            else:
                self._run(max(at, self._seen_at))
                self._grant(turn, self._seen_at, asking)

    def _run(self, until: float) -> None:
        """Let the virtual clock run until *until*, or up to the first read of the schedule that waits."""
        head = self._head(Kind.DUE)
        if head is not None:
            self._lateness += max(0.0, until - self._seen_at - max(0.0, self._early(head.key)))
        self._seen_at = until

    def _early(self, key: float) -> float:
        """Return how many seconds the virtual clock has yet to run until *key*; negative for one that is past."""
        return key - (self._seen_at - self._lateness)

    def _next_grant(self, now: float) -> tuple[Turn | None, float]:
        """Return which turn gets the next token if nothing else happens, and when."""
        again = self._head(Kind.AGAIN)
        if again is not None:
            return again, self._bucket.ready_at(now)
        due = self._head(Kind.DUE)
        new = self._head(Kind.URGENT) or self._head(Kind.NEW)
        if self._is_full or (due is None and new is None):
            return None, _FOREVER
        ready_at = self._bucket.ready_at(now)
        if due is None or (new is not None and not self._is_schedule_next):
            return new, ready_at
        due_at = max(ready_at, self._due_at(due, now))
        return (due, due_at) if new is None or due_at - ready_at <= ROUNDING else (new, ready_at)

    def _due_at(self, turn: Turn, now: float) -> float:
        """Return when the virtual clock gets to the turn if nothing holds it."""
        early = self._early(turn.key) if turn.kind is Kind.DUE else 0.0
        return now + early if early > ROUNDING else now

    def _grant(self, turn: Turn, at: float, asking: Turn | None) -> None:
        self._bucket.reserve(at)
        turn.is_granted = True
        self._granted.append(turn)
        if turn.kind is not Kind.AGAIN:
            self._is_schedule_next = turn.kind is not Kind.DUE
        following = self._head(turn.kind)
        for woken in (turn, following):
            if woken is not None and woken is not asking:
                woken.wake()

    def _revoke(self) -> None:
        """Take back the tokens of reads that have not gone out: a pause holds them, too."""
        # What was granted before a pause must not all go at once after it.
        self._bucket.give_back(len(self._granted), at_most=1.0)
        for turn in reversed(self._granted):
            turn.is_granted = False
            self._push(turn, -next(self._order))  # before all that queued later
        self._granted.clear()
        self._wake_heads()

    def _wake_heads(self) -> None:
        if self._is_empty:
            return
        heads = [*self._granted, *(self._head(kind) for kind in Kind)]
        for head in heads:
            if head is not None:
                head.wake()
