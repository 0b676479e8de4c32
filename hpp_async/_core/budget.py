"""
Which read is next when the budget is short.

The provider counts requests per merchant, captures and refunds included, so all waits of a client share one budget. Its
rate is a token bucket (`hpp_async._core.token_bucket`); this module is the queue for the tokens.

*The virtual clock.* Reads that the schedule made due are ordered by their due time on a virtual clock, as in start-time
fair queueing. The virtual clock runs as fast as the real one. It stops while the first read that is due has to wait for
the budget: for the rate, for the end of a pause, or because enough reads are in flight. So a short budget stretches
every delay by the same factor. A session with a delay of 2 seconds is still read fifteen times as often as one with a
delay of 30, no session starves, and there is no burst afterwards. In order of arrival, both sessions would wait for the
budget equally long; by priority, one of them would starve.

*Grants.* Nothing else may stop the virtual clock: neither a timer of the event loop that fires late, nor a step that
takes long. So a read is *granted* its token at the exact moment at which the budget allows it. Where no step was taken
at that moment, the next step computes the grant, and the virtual clock runs on from the moment of the grant. The read
is *admitted* when its driver asks next.

*New arrivals.* First reads, reads that a caller requests, and reads after a notification do not come from the schedule,
and their number has no limit. (The first read of a wait with ``since`` and without a timeout counts as the schedule's:
after a restart there are thousands of these, and nobody waits for them.) New arrivals are served in order of arrival,
however short the steps of their drivers are, and do not stop the virtual clock. Where new arrivals and reads of the
schedule wait, they get tokens in turn: the schedule gets at least half of them, however many new arrivals there are. A
new arrival that the schedule will make due, too, waits in both lines, so a notification never delays a read.

*Repeated attempts.* An attempt after a failure goes before all that has not begun, on the side of its read: where only
new arrivals fail, their attempts take nothing from the schedule's half, and the other way round.

Nothing here awaits or reads a clock. A driver queues a `Turn`, asks whether the turn is admitted, and learns when to
ask again. Times are in loop seconds; keys are in seconds of the virtual clock.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from itertools import islice
from typing import Final

import attrs

from hpp_async._core.token_bucket import ROUNDING, Quota, ReadBudget, TokenBucket

_FOREVER: Final = float("inf")


class Kind(IntEnum):
    """Why a read is wanted."""

    NEW_AGAIN = 0
    """Another attempt of a new arrival, or of any other request that does not come from the schedule."""
    URGENT = 1
    """
    The last read of a wait whose timeout has passed, a DELETE, or the read after a refused DELETE.

    It goes before all other new arrivals.
    """
    NEW = 2
    """A first read, a read that a caller requests, or a read after a notification."""
    DUE_AGAIN = 3
    """Another attempt of a read that the schedule made due."""
    DUE = 4
    """A read that the schedule made due."""


def _is_begun(kind: Kind) -> bool:
    """Tell whether its read is in flight already: such an attempt is not held by the limit of reads in flight."""
    return kind is Kind.NEW_AGAIN or kind is Kind.DUE_AGAIN


@attrs.define(eq=False)
class Turn:
    """A place in the queue; *wake* is called when it is worth asking again."""

    kind: Kind
    key: float
    """When the schedule makes the read due, in seconds of the virtual clock; ∞ if it does not."""
    wake: Callable[[], object]
    number: int
    """The turns of a line that have equal keys, as those of new arrivals have, are served in the order of this."""
    is_granted: bool = False
    """Whether a token is reserved for the read."""
    is_over: bool = False
    """Whether the turn was admitted, left or forgotten."""


class Budget:
    """The queue for the tokens of one `ReadBudget`."""

    def __init__(self, limits: ReadBudget) -> None:
        self._limits = limits
        self._bucket = TokenBucket(limits)
        self._heaps: dict[Kind, list[tuple[float, int, int, Turn]]] = {kind: [] for kind in Kind}
        self._order = itertools.count()
        self._granted = deque[Turn]()
        self._in_flight = 0
        self._lateness = 0.0
        """The real time minus the virtual time, in seconds."""
        self._seen_at = -_FOREVER
        """Until when the virtual clock ran, in loop seconds."""
        self._is_schedule_next = True
        """Whether the schedule gets the next token where a read of the schedule and a new arrival both wait."""

    @property
    def max_in_flight(self) -> int:
        """How many reads may be in flight at once."""
        return self._limits.max_in_flight

    @property
    def limits(self) -> ReadBudget:
        """The limits that hold now."""
        return self._limits

    @property
    def is_schedule_next(self) -> bool:
        """Whether the schedule gets the next token where a read of the schedule and a new arrival both wait."""
        return self._is_schedule_next

    def set_limits(self, limits: ReadBudget, now: float) -> None:
        """Change the limits, from *now* on."""
        self._advance(now)
        self._limits = limits
        self._bucket.set_limits(limits, now)
        self._wake_heads(self._granted)

    # -- the clock --------------------------------------------------------------------------------------------------

    def virtual(self, now: float) -> float:
        """Return the virtual time at *now*."""
        self._advance(now)
        return self._seen_at - self._lateness

    def lateness(self, now: float) -> float:
        """Return the real time minus the virtual time: for how many seconds the virtual clock has stopped, in all."""
        self._advance(now)
        return self._lateness

    # -- the queue --------------------------------------------------------------------------------------------------

    def queue(
        self, kind: Kind, key: float, now: float, wake: Callable[[], object], *, number: int | None = None
    ) -> Turn:
        """
        Queue a read and return its turn, which the caller must either `leave` or have admitted.

        *key* is when the schedule makes the read due, in seconds of the virtual clock; ∞ if it does not. *number* is
        that of a turn that this read had before: it keeps its place among the new arrivals.
        """
        self._advance(now)
        turn = Turn(kind, key, wake, next(self._order) if number is None else number)
        self._push(turn, turn.number)
        return turn

    def leave(self, turn: Turn) -> None:
        """Give up *turn*. A turn that is over stays as it is."""
        if turn.is_over:
            return
        # Only saves wakes: a driver that is woken for nothing asks, and sleeps again.
        was_head = turn.is_granted or self._is_head(turn)
        turn.is_over = True
        if turn.is_granted:
            self._granted.remove(turn)
            self._bucket.give_back(1)
        if was_head:
            self._wake_heads(self._granted)

    def admit(self, turn: Turn, now: float) -> bool:
        """
        Tell whether the read may go out now.

        If so, the turn is over, and the caller must call `release` once the read is over (not for another attempt).
        """
        self._advance(now, asking=turn)
        if not turn.is_granted or (self._is_full and not _is_begun(turn.kind)):
            return False
        if self._bucket.can_spend_at(now) > now:
            return False
        turn.is_over = True
        self._granted.remove(turn)
        self._bucket.spend(now)
        self._in_flight += not _is_begun(turn.kind)
        return True

    def admit_at_once(self, kind: Kind, key: float, now: float) -> bool:
        """
        Admit a read without a turn, if there is a token that no read in the queue can use; return whether it was.

        The result is the same as that of `queue` and `admit`, at a fifth of their cost. If the read was admitted, the
        caller must call `release` once it is over (not for another attempt).
        """
        self._advance(now)  # every read in the queue that can use a token has been granted one after this
        if self._is_full and not _is_begun(kind):
            return False
        if kind is Kind.DUE and self._early(key) > ROUNDING:
            return False
        if not self._bucket.take(now):
            return False
        # A new arrival that the schedule makes due as well takes the schedule's turn, if it has the next one.
        is_scheduled = kind >= Kind.DUE_AGAIN or (self._is_schedule_next and self._early(key) <= ROUNDING)
        self._is_schedule_next = not is_scheduled
        self._in_flight += not _is_begun(kind)
        return True

    def is_behind(self, turn: Turn) -> bool:
        """Tell whether other turns are before *turn*. Its ``wake`` is called when none is, before it gets a token."""
        return not turn.is_granted and not self._is_head(turn)

    def opens_at(self, turn: Turn, now: float) -> float:
        """Return when to ask about *turn* again at the latest; ∞ where its ``wake`` will be called."""
        self._advance(now, asking=turn)
        if turn.is_granted:
            return _FOREVER if self._is_full and not _is_begun(turn.kind) else self._bucket.can_spend_at(now)
        if not self._is_head(turn) or (self._is_full and not _is_begun(turn.kind)):
            return _FOREVER
        ready_at = self._bucket.ready_at(now)
        is_new = turn.kind is not Kind.DUE and self._head(turn.kind) is turn
        return ready_at if is_new else max(ready_at, self._due_at(turn, now))

    def wake_all(self) -> None:
        """Wake every driver in the queue: each asks again."""
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
        """Note that an admitted read is over. Not for another attempt, which is a part of a read in flight."""
        self._advance(now)
        was_full = self._is_full
        self._in_flight -= 1
        if not was_full and not self._granted:
            return  # no read waits for a place; after several releases at once, one that has a token still may
        # Of the reads that only wait for a place, as many as there are places: each wake costs its driver a step.
        places = max(0, self._limits.max_in_flight - self._in_flight)
        self._wake_heads(islice((turn for turn in self._granted if not _is_begun(turn.kind)), places))

    # -- the tokens -------------------------------------------------------------------------------------------------

    def answered(self, quota: Quota, now: float) -> float | None:
        """Note the *quota* in a good answer; if it calls for a pause, return when the pause ends."""
        self._advance(now)
        paused_until = self._bucket.answered(quota, now)
        if paused_until is not None:
            self._revoke()
        return paused_until

    def refused(self, retry_after: float | None, now: float) -> float:
        """Note a 429, with the seconds that it asks for; return when its pause ends."""
        self._advance(now)
        paused_until = self._bucket.refused(retry_after, now)
        self._revoke()
        return paused_until

    # -- how it works -----------------------------------------------------------------------------------------------

    @property
    def _is_empty(self) -> bool:
        """Whether the queue has no turns."""
        return not self._granted and not any(self._heaps.values())

    @property
    def _is_full(self) -> bool:
        return self._in_flight >= self._limits.max_in_flight

    def _turns(self) -> list[Turn]:
        waiting = (turn for heap in self._heaps.values() for *_, turn in heap if not turn.is_over)
        return list(dict.fromkeys((*self._granted, *waiting)))

    def _push(self, turn: Turn, number: int) -> None:
        # A turn that is over, and has not left the heap yet, may have the same *number*: the next one decides then.
        entry = number, next(self._order), turn
        if turn.kind is not Kind.DUE:
            heapq.heappush(self._heaps[turn.kind], (0.0, *entry))
        if turn.key < _FOREVER:
            # A new arrival that the schedule makes due, too, waits in both lines: no notification delays a read.
            heapq.heappush(self._heaps[Kind.DUE], (turn.key, *entry))

    def _is_head(self, turn: Turn) -> bool:
        return self._head(turn.kind) is turn or self._head(Kind.DUE) is turn

    def _head(self, kind: Kind) -> Turn | None:
        heap = self._heaps[kind]
        while heap and (heap[0][-1].is_over or heap[0][-1].is_granted):
            heapq.heappop(heap)
        return heap[0][-1] if heap else None

    def _advance(self, now: float, asking: Turn | None = None) -> None:
        """Let the virtual clock run until *now*, and grant tokens to waiting reads at the moments they become ready."""
        if self._is_empty:
            self._seen_at = max(self._seen_at, now)
            return
        while True:
            kind, at = self._next_grant(self._seen_at)
            is_later = kind is None or at - now > ROUNDING
            if is_later and self._seen_at < now:
                self._run(now)  # then compute again: while the rate climbs, tokens come earlier than computed before
            elif kind is None or is_later:
                return
            else:
                self._run(max(at, self._seen_at))
                self._grant(kind, self._seen_at, asking)

    def _run(self, until: float) -> None:
        """Let real time pass until *until*; the virtual clock stops at the key of the first `Kind.DUE` in the queue."""
        head = self._head(Kind.DUE)
        if head is not None:
            self._lateness += max(0.0, until - self._seen_at - max(0.0, self._early(head.key)))
        self._seen_at = until

    def _early(self, key: float) -> float:
        """Return how many seconds the virtual clock has yet to run until *key*; negative for one that is past."""
        return key - (self._seen_at - self._lateness)

    def _next_grant(self, now: float) -> tuple[Kind | None, float]:
        """Return whose first turn gets the next token if nothing else happens, and when."""
        new, scheduled = self._first(Kind.NEW_AGAIN, Kind.URGENT, Kind.NEW), self._first(Kind.DUE_AGAIN, Kind.DUE)
        if new is None and scheduled is None:
            return None, _FOREVER
        ready_at = self._bucket.ready_at(now)
        if scheduled is None or (new is not None and not self._is_schedule_next):
            return new, ready_at
        due = self._head(Kind.DUE) if scheduled is Kind.DUE else None
        due_at = ready_at if due is None else max(ready_at, self._due_at(due, now))
        return (scheduled, due_at) if new is None or due_at - ready_at <= ROUNDING else (new, ready_at)

    def _first(self, *kinds: Kind) -> Kind | None:
        """Return the first of *kinds* with a turn in the queue that the limit of reads in flight does not hold."""
        is_full = self._is_full
        return next((kind for kind in kinds if self._head(kind) and (_is_begun(kind) or not is_full)), None)

    def _due_at(self, turn: Turn, now: float) -> float:
        """Return when the virtual clock reaches the key of *turn* if nothing stops the clock."""
        early = self._early(turn.key)
        return now + early if early > ROUNDING else now

    def _grant(self, kind: Kind, at: float, asking: Turn | None) -> None:
        """Reserve a token for the first turn of *kind*; a new arrival may get one of the schedule's, as it is due."""
        turn = self._head(kind)
        assert turn is not None, "there is a turn to grant it to"
        self._bucket.reserve(at)
        turn.is_granted = True
        self._granted.append(turn)
        self._is_schedule_next = kind < Kind.DUE_AGAIN
        for woken in dict.fromkeys((turn, self._head(turn.kind), self._head(Kind.DUE))):
            if woken is not None and woken is not asking:
                woken.wake()

    def _revoke(self) -> None:
        """Take back the tokens of reads that have not gone out: the pause holds these reads, too."""
        # At most one token: with more, these reads would all go out together after the pause.
        self._bucket.give_back(len(self._granted), at_most=1.0)
        for turn in reversed(self._granted):
            turn.is_granted = False
            self._push(turn, -next(self._order))  # a negative number: before all turns that queued later
        self._granted.clear()
        self._wake_heads(self._granted)

    def _wake_heads(self, granted: Iterable[Turn]) -> None:
        if self._is_empty:
            return
        heads = [*granted, *(self._head(kind) for kind in Kind)]
        for head in heads:
            if head is not None:
                head.wake()
